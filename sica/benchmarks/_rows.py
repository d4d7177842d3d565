"""Rows of a data set as it lies on the user's disk: JSON lines, JSON, CSV or Parquet. Nothing is fetched.

What a row holds was written by somebody else: each field is asked for by name and type, and an error names the
file, the row, the field and the cure.
"""

from __future__ import annotations

import csv
import gzip
import json
import reprlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sica.errors import UsageError

T = TypeVar("T")
ROW_BYTES = 256 << 20
"""Of one line; real rows with all their hidden tests stay below a third of it."""
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Row:
    """One row. Its questions raise UsageError when the field is not there or is of another type."""

    path: Path
    number: int
    """From 1: the line of JSON lines, else the place in the list."""
    data: Mapping[str, Any]

    def wrong(self, field: str, what: str, cure: str = "") -> UsageError:
        return UsageError(f"{self.path}: row {self.number}: {field}: {what}", cure or f"mend {field}")

    def of(self, field: str, kind: type[T], what: str) -> T:
        value = self.data.get(field)
        if value is None:
            there = ", ".join(sorted(map(str, self.data))) or "nothing"
            raise self.wrong(field, f"there is none; the row has {reprlib.repr(there)}", f"add {field}")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(field, f"{reprlib.repr(value)} is not {what}")
        return value

    def text(self, *fields: str) -> str:
        """The first of the fields that is there."""
        field = next((name for name in fields if self.data.get(name) is not None), fields[0])
        found = self.of(field, str, "a text")
        if "\0" in found:
            raise self.wrong(field, "holds a NUL")
        try:
            found.encode()
        except UnicodeEncodeError as e:
            raise self.wrong(field, f"no Unicode text at character {e.start}") from None
        return found

    def maybe(self, *fields: str) -> str:
        """As `text`, or "" when none of them is there."""
        return self.text(*fields) if any(self.data.get(name) is not None for name in fields) else ""

    def number_of(self, field: str, default: float) -> float:
        value = self.data.get(field)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise self.wrong(field, f"{reprlib.repr(value)} is not a number from 0")
        return value

    def list_of(self, field: str) -> list[Any]:
        """A list, or JSON text that holds one: data sets have both."""
        value = self.data.get(field)
        if isinstance(value, str):
            value = self.json(field)
        if not isinstance(value, list):
            raise self.wrong(field, f"{reprlib.repr(value)} is not a list", f"make {field} a list")
        return value

    def texts(self, field: str) -> list[str]:
        found = self.list_of(field)
        if odd := [each for each in found if not isinstance(each, str)]:
            raise self.wrong(field, f"{reprlib.repr(odd[0])} in the list is not a text")
        return found

    def json(self, field: str) -> Any:
        """What the field's text says as JSON."""
        try:
            return json.loads(self.text(field))
        except (ValueError, RecursionError) as e:
            raise self.wrong(field, f"holds no JSON: {str(e)[:80]}") from None


def rows(path: Path) -> Iterator[Row]:
    """Every row of a file, or of a directory with one JSON object per file, in order. At least one.

    Raises UsageError that names the file and the row.
    """
    n = 0
    for number, data in _read(path):
        if not isinstance(data, dict):
            raise UsageError(
                f"{path}: row {number}: {reprlib.repr(data)} is no table of fields", "write one object a row"
            )
        n += 1
        yield Row(path, number, data)
    if not n:
        raise UsageError(f"{path}: holds no row", "name the file that has the data")


def first(path: Path) -> Mapping[str, Any]:
    """The first row's fields, or none: for recognising a form without reading the file."""
    if not path.is_file() or not path.name.endswith(SUFFIXES):
        return {}
    try:
        return next(rows(path)).data
    except UsageError:
        return {}


def _read(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        if path.is_dir():
            yield from _directory(path)
        elif path.name.endswith((".jsonl", ".jsonl.gz")):
            with path.open("rb") as file:
                packed = gzip.GzipFile(fileobj=file) if path.name.endswith(".gz") else file
                yield from _lines(path, packed)
        elif path.name.endswith(".json"):
            yield from _whole(path)
        elif path.name.endswith(".csv"):
            yield from _table(path)
        elif path.name.endswith(".parquet"):
            yield from _parquet(path)
        else:
            raise UsageError(f"{path}: no file of rows", f"it must end in {', '.join(SUFFIXES)}")
    except (OSError, EOFError, zlib.error) as e:
        raise UsageError(f"{path}: {getattr(e, 'strerror', None) or e}", "make it a readable file") from None


def _lines(path: Path, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, Any]]:
    number = 0
    while line := file.readline(ROW_BYTES + 1):
        number += 1
        if len(line) > ROW_BYTES:
            raise UsageError(f"{path}: row {number}: more than {ROW_BYTES} bytes", "one object a line")
        if line.strip():
            yield number, _parsed(path, number, line)


def _whole(path: Path) -> Iterator[tuple[int, Any]]:
    if path.stat().st_size > ROW_BYTES:
        raise UsageError(f"{path}: more than {ROW_BYTES} bytes", "write it as JSON lines, one object a line")
    found = _parsed(path, 1, path.read_bytes())
    yield from enumerate(found if isinstance(found, list) else [found], 1)


def _directory(path: Path) -> Iterator[tuple[int, Any]]:
    for number, file in enumerate(sorted(path.rglob("*.json")), 1):
        (_, found), *more = _whole(file)
        if more:
            raise UsageError(f"{file}: a list in a directory of rows", "name that file itself")
        yield number, found


def _parsed(path: Path, number: int, data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: row {number}: not UTF-8 at byte {e.start}", "save it as UTF-8") from None
    except ValueError as e:
        raise UsageError(f"{path}: row {number}: broken JSON: {str(e)[:120]}", "mend that row") from None
    except RecursionError:
        raise UsageError(f"{path}: row {number}: nested too deeply", "mend that row") from None


def _table(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            for number, row in enumerate(csv.DictReader(file), 1):
                yield number, {str(key): value for key, value in row.items() if key is not None}
        except (csv.Error, UnicodeDecodeError) as e:
            raise UsageError(f"{path}: no readable CSV: {e}", "save it as UTF-8 with a header line") from None


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{path}: reading Parquet needs pyarrow", "pip install 'sica[parquet]'") from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as e:
        raise UsageError(f"{path}: no readable Parquet: {str(e)[:120]}", "fetch it again") from None
