"""Harbor's folders are read unchanged; what is wrong is said with its cure."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sica import checks as rules
from sica import grading, harbor
from sica.benchmarks import open_benchmark, shipped
from sica.benchmarks.folder import FolderBenchmark
from sica.errors import UsageError
from sica.model import File

MINIMAL = """
[task]
name = "demo/hello"
"""
TERMINAL_BENCH_2 = """
schema_version = "1.1"
artifacts = []

[task]
name = "terminal-bench/fix-git"
keywords = ["git"]

[metadata]
author_name = "A. Uthor"
author_email = "a@example.org"
difficulty = "easy"
category = "software-engineering"
tags = ["git"]
expert_time_estimate_min = 5.0
junior_time_estimate_min = 20.0

[verifier]
timeout_sec = 900.0

[agent]
timeout_sec = 900.0

[environment]
build_timeout_sec = 600.0
docker_image = "example/fix-git:20260403"
cpus = 1
memory_mb = 2048
storage_mb = 10240
gpus = 0
allow_internet = true
mcp_servers = []

[verifier.env]
[environment.env]
[solution.env]
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write(
        tmp_path / "demo" / "hello",
        {
            "task.toml": MINIMAL,
            "instruction.md": "Do it.\n",
            "tests/test.sh": "echo 1 > /logs/verifier/reward.txt\n",
        },
    )


def toml(task: Path, text: str) -> Path:
    (task / "task.toml").write_text(text, encoding="utf-8")
    return task


def test_a_minimal_folder_is_a_task(task: Path) -> None:
    (read,) = FolderBenchmark(task.parent, "demo").tasks()
    assert (read.id, read.workdir, read.split, read.grading, read.image) == (
        "demo/hello", "/app", "train", "script", None,
    )  # fmt: skip


def test_a_terminal_bench_folder_keeps_its_image_limits_and_raw_table(task: Path) -> None:
    benchmark = FolderBenchmark(toml(task, TERMINAL_BENCH_2), "tb")
    (read,) = benchmark.tasks()
    assert read.image == "example/fix-git:20260403"
    assert (read.limits.seconds, read.limits.memory_mb, read.limits.disk_mb) == (900.0, 2048, 10240)
    assert read.kind == "software-engineering"
    assert benchmark.folders["hello"].raw["metadata"]["tags"] == ["git"]
    assert benchmark.folders["hello"].warnings == ()


@pytest.mark.parametrize(
    ("size", "megabytes"), [("2G", 2048), ("512M", 512), ("2048K", 2), ("1.5 GiB", 1536), ("64", 64)]
)
def test_older_sizes_are_read(task: Path, size: str, megabytes: int) -> None:
    (read,) = FolderBenchmark(
        toml(task, f'version = "1.0"\n[environment]\nmemory = "{size}"\n'), "demo"
    ).tasks()
    assert read.limits.memory_mb == megabytes


def test_unknown_keys_are_warnings(task: Path) -> None:
    folder = harbor.read(toml(task, 'new_thing = 1\n[agent]\nspeed = 2\n[metadata]\nfree = "yes"\n'))
    assert folder.warnings == ("unknown key new_thing is ignored", "unknown key agent.speed is ignored")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[task\n", ["task.toml", "broken TOML", "line 1"]),
        ("[agent]\ntimeout_sec = 'soon'\n", ["task.toml", "agent.timeout_sec", "'soon'"]),
        ("[agent]\ntimeout_sec = -1\n", ["agent.timeout_sec", "-1", "greater than 0"]),
        ("[environment]\nmemory = 'lots'\n", ["environment.memory", "'lots'", "2G"]),
        ("[environment]\nworkdir = 'app'\n", ["environment.workdir", "'app'", "/app"]),
        ("[environment]\nworkdir = '/../etc'\n", ["environment.workdir"]),
        ("[metadata.sica]\nsplit = 'test'\n", ["metadata.sica.split", "'test'", "heldout"]),
        ("[metadata.sica]\ngrading = 'trust'\n", ["metadata.sica.grading", "'trust'", "two-box"]),
        (
            "[metadata.sica]\nlevle = 1\n",
            ["task.toml", "metadata.sica.levle", "did you mean 'metadata.sica.level'?"],
        ),
        ("[metadata.sica]\nweight = inf\n", ["metadata.sica.weight", "inf"]),
        ("schema_version = '9.9'\n", ["schema_version", "'9.9'", "1.4"]),
    ],
)
def test_a_bad_table_names_file_key_value_and_cure(task: Path, text: str, names: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        harbor.read(toml(task, text))
    said = f"{caught.value} {caught.value.hint}"
    assert all(name in said for name in names), said
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["task.toml", "instruction.md", "tests/test.sh"])
def test_a_missing_file_is_named(task: Path, missing: str) -> None:
    (task / missing).unlink()
    with pytest.raises(UsageError, match=missing):
        harbor.read(task)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[environment]\ngpus = 1\n", "gpus"),
        ("[environment]\ntpu = {type = 'v5'}\n", "tpu"),
        ("[environment]\nos = 'windows'\n", "os=windows"),
        ("[environment]\nnetwork_mode = 'allowlist'\n", "allowlist networking"),
        ("[environment]\nmcp_servers = [{name = 'm', url = 'http://m'}]\n", "mcp_servers"),
        ("[[steps]]\nname = 'one'\n", "multi-step"),
        ("[verifier.env]\nKEY = '${OPENAI_API_KEY}'\n", "KEY takes a variable of the host"),
    ],
)
def test_what_cannot_be_given_is_left_out_by_name(task: Path, text: str, name: str) -> None:
    benchmark = FolderBenchmark(toml(task, text), "demo")
    assert any(f"unsupported: {name}" == why for why in benchmark.unsupported["hello"])
    with pytest.raises(UsageError, match=re.escape(name)) as caught:
        benchmark.tasks()
    assert caught.value.hint


def test_a_compose_file_is_unsupported(task: Path) -> None:
    write(task, {"environment/docker-compose.yaml": "services: {main: {}, db: {}}\n"})
    assert FolderBenchmark(task, "demo").unsupported == {"hello": ("unsupported: compose",)}


def test_copies_are_laid_down_without_a_build(task: Path) -> None:
    dockerfile = (
        "# a comment\nFROM python:3.12-slim\nWORKDIR /app\nENV A=1 B='two words'\n"
        "COPY code/ ./\nCOPY a.txt b.txt docs/\n"
    )
    write(
        task,
        {
            "environment/Dockerfile": dockerfile,
            "environment/code/pkg/x.py": "x = 1\n",
            "environment/code/run.sh": "true\n",
            "environment/code/__pycache__/x.pyc": "junk",
            "environment/code/secret.txt": "no\n",
            "environment/.dockerignore": "# not these\n**/secret.txt\n",
            "environment/a.txt": "a\n",
            "environment/b.txt": "b\n",
        },
    )
    (task / "environment/code/run.sh").chmod(0o755)
    benchmark = FolderBenchmark(task, "demo")
    (read,) = benchmark.tasks()
    files = benchmark.workspace(read)
    assert sorted(files) == ["/app/docs/a.txt", "/app/docs/b.txt", "/app/pkg/x.py", "/app/run.sh"]
    assert files["/app/run.sh"].executable
    assert read.image is None
    assert dict(benchmark.folders["hello"].recipe.env) == {"A": "1", "B": "two words"}


@pytest.mark.parametrize(
    "line",
    [
        "RUN pip install x==1",
        "COPY --from=build /x /app/",
        "COPY https://x.org/a /app/",
        "COPY $HERE /app/",
        "USER me",
    ],
)
def test_anything_else_needs_an_image_of_its_own(task: Path, line: str) -> None:
    write(task, {"environment/Dockerfile": f"FROM python:3.12-slim\nWORKDIR /app\n{line}\n"})
    (read,) = FolderBenchmark(task, "demo").tasks()
    assert read.image == f"sica-task:{read.digest[:32]}"


def test_a_copy_to_outside_the_workdir_is_part_of_the_deliverable(task: Path) -> None:
    dockerfile = "FROM x:1\nWORKDIR /app\nCOPY d /data/in/\nCOPY d .\n"
    write(task, {"environment/Dockerfile": dockerfile, "environment/d": "d"})
    benchmark = FolderBenchmark(task, "demo")
    (read,) = benchmark.tasks()
    assert sorted(benchmark.workspace(read)) == ["/app/d", "/data/in/d"]
    assert (read.places, read.image) == (("/app", "/data"), None)


@pytest.mark.parametrize("place", ["/etc/d", "/usr/share/d", "/d", "/tmp/d"])
def test_a_copy_into_the_system_needs_an_image(task: Path, place: str) -> None:
    write(task, {"environment/Dockerfile": f"FROM x:1\nCOPY d {place}\n", "environment/d": "d"})
    benchmark = FolderBenchmark(task, "demo")
    assert benchmark.unsupported == {}
    assert benchmark.unsupported_in("bubblewrap") == {
        "hello": (f"unsupported: files in {place} in the Dockerfile without Docker",)
    }


def test_several_declared_directories_travel_and_none_twice(task: Path) -> None:
    (read,) = FolderBenchmark(
        toml(task, '[metadata.sica]\nworkspace = ["/app/out", "/data", "/app/out/deep"]\n'), "demo"
    ).tasks()
    assert read.places == ("/app/out", "/data")


# ── the digest ────────────────────────────────────────────────────────────────────────────────────

PACKAGED = {
    # Computed with Packager.compute_content_hash of harbor 0.25.0.
    "27a0901928352809714a377eafe3403e887363989de1e49caaf6a251cb0eac43": {
        "task.toml": "a",
        "instruction.md": "b",
        "README.md": "c",
        "notes.txt": "not hashed",
        "tests/test.sh": "d",
        "environment/Dockerfile": "FROM x\n",
        "solution/solve.sh": "e",
    },
    "79788e97a0e49580d8f29869613f29d1ed52836f7afb0fed4297a8d55201d966": {
        "task.toml": "a",
        "instruction.md": "b",
        "tests/__pycache__/x.pyc": "1",
        "tests/a.pyc": "2",
        "tests/b.py~": "3",
        "tests/.x.swp": "4",
        "tests/.pytest_cache/v": "5",
        "environment/.git/HEAD": "ref",
        "tests/test.sh": "d",
    },
    "91c72b7c200fd2b93689e80ab70f06806215ba41af689aa85f8a827c2d4b3126": {
        "task.toml": "a",
        "instruction.md": "b",
        ".gitignore": "# c\n*.log\n!keep.log\nbuild/\n/tests/private\nenvironment/**/x.txt\nda?a[0-9]\n\\!odd\n",
        "tests/a.log": "1",
        "tests/keep.log": "2",
        "environment/build/z": "3",
        "environment/src/build/z": "4",
        "tests/private/p": "5",
        "environment/a/b/x.txt": "6",
        "environment/x.txt": "7",
        "environment/data1": "8",
        "environment/datax": "9",
        "tests/__pycache__/x.pyc": "kept now",
        "tests/!odd": "10",
        "environment/build2": "11",
    },
    "e1069dae03152cde357ebd9e1de7d30cc1400e6f33e467067e875af68da0e954": {
        "task.toml": "a",
        "instruction.md": "b",
        "tests/ü b/ñ.py": "1",
        "tests/Z": "2",
        "tests/a-b": "3",
        "tests/a/b": "4",
        "steps/one/tests/test.sh": "5",
        "trajectory.json": "{}",
    },
}


@pytest.mark.parametrize("digest", PACKAGED)
def test_the_digest_is_harbors_own(tmp_path: Path, digest: str) -> None:
    assert harbor.digest(write(tmp_path, PACKAGED[digest])) == digest


def test_any_changed_byte_or_name_is_another_task(task: Path) -> None:
    seen = {harbor.digest(task)}
    (task / "tests/test.sh").write_text("echo 0 > /logs/verifier/reward.txt\n")
    seen.add(harbor.digest(task))
    (task / "tests/test.sh").rename(task / "tests/run.sh")
    seen.add(harbor.digest(task))
    write(task, {"solution/solve.sh": ""})
    seen.add(harbor.digest(task))
    assert len(seen) == 4


def test_what_the_digest_does_not_know_is_given_to_nobody(task: Path) -> None:
    write(
        task,
        {
            "environment/Dockerfile": "FROM x:1\nWORKDIR /app\nCOPY . .\n",
            "environment/a.py": "a",
            "environment/a.pyc": "junk",
            "environment/__pycache__/b.pyc": "junk",
            "tests/__pycache__/c.pyc": "junk",
            "answers.txt": "beside the folders",
        },
    )
    benchmark = FolderBenchmark(task, "demo")
    (read,) = benchmark.tasks()
    assert sorted(benchmark.workspace(read)) == ["/app/Dockerfile", "/app/a.py"]
    assert sorted(benchmark.case(read).tests) == ["test.sh"]


@given(st.dictionaries(st.text("ab", min_size=1, max_size=4), st.binary(max_size=4), min_size=1, max_size=4))
def test_two_folders_share_a_digest_only_when_they_are_equal(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for root in (one, two):
        (root / "tests").mkdir()
        for name, data in files.items():
            (root / "tests" / name).write_bytes(data)
    assert harbor.digest(one) == harbor.digest(two)
    victim = two / "tests" / sorted(files)[0]
    victim.write_bytes(victim.read_bytes() + b"!")
    assert harbor.digest(one) != harbor.digest(two)


# ── data sets ─────────────────────────────────────────────────────────────────────────────────────


def data_set(task: Path, name: str, digest: str) -> Path:
    text = f'[dataset]\nname = "demo/set"\n[[tasks]]\nname = "{name}"\ndigest = "{digest}"\n'
    return write(task.parent, {"dataset.toml": text})


@pytest.mark.parametrize("name", ["demo/hello", "other/hello"])
def test_a_data_set_names_its_tasks(task: Path, name: str) -> None:
    write(task.parent / "more", {"task.toml": MINIMAL, "instruction.md": "x", "tests/test.sh": ""})
    root = data_set(task, name, f"sha256:{harbor.digest(task)}")
    assert [each.name for each in FolderBenchmark(root, "demo").tasks()] == ["hello"]
    assert [each.name for each in open_benchmark(str(root / "dataset.toml")).tasks()] == ["hello"]


def test_a_task_that_is_not_the_one_that_was_meant_is_an_error(task: Path) -> None:
    root = data_set(task, "demo/hello", "sha256:" + "0" * 64)
    with pytest.raises(
        UsageError, match=rf"dataset.toml: demo/hello: digest = sha256:0+ but .*{harbor.digest(task)}"
    ):
        FolderBenchmark(root, "demo").tasks()


@pytest.mark.parametrize(
    ("name", "digest", "said"),
    [
        ("demo/gone", "sha256:" + "0" * 64, "demo/gone: there is no folder of this task"),
        ("demo/hello", "md5:1", "demo/hello: digest = 'md5:1' is no digest"),
        ("", "sha256:" + "0" * 64, "tasks.name = '' is no name"),
    ],
)
def test_a_broken_data_set_says_what_is_wrong(task: Path, name: str, digest: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        FolderBenchmark(data_set(task, name, digest), "demo").tasks()
    assert caught.value.hint


def test_a_legacy_registry_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, {"registry.json": "[]"})
    for place in (tmp_path, tmp_path / "registry.json"):
        with pytest.raises(
            UsageError, match=r"registry\.json: a legacy registry lists git addresses"
        ) as caught:
            open_benchmark(str(place)).tasks()
        assert "clone" in caught.value.hint


# ── words that break readers ──────────────────────────────────────────────────────────────────────

SECTIONS = (
    "",
    "task",
    "metadata",
    "metadata.sica",
    "agent",
    "verifier",
    "verifier.env",
    "environment",
    "environment.env",
)
KEY_WORDS = """
name split grading workspace weight level calls usd timeout_sec memory memory_mb storage cpus gpus tpu os workdir
docker_image mcp_servers env user steps network_mode environment_mode schema_version version build_timeout_sec ü
"""
KEYS = st.sampled_from(KEY_WORDS.split())
WORDS = """
-1 0 1 1e400 nan -inf 99999999999999999999999999 true '' 'x' '/' '/../a' '2G' "a\\u0000b" "/a\\nb" "\\U0001F600"
[] ['/a','/b'] [[1]] {} {a=1} 1979-05-27 [{}] '${X}' 'linux' 'public' '1.0'
"""
VALUES = st.sampled_from([*WORDS.split(), "'" + "k" * 5000 + "'"])


@given(st.dictionaries(st.tuples(st.sampled_from(SECTIONS), KEYS), VALUES, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_a_broken_table_is_a_usage_error_or_a_reason_and_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, table: dict[tuple[str, str], str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    text = ""
    for section in SECTIONS:
        lines = [f'"{key}" = {value}\n' for (where, key), value in table.items() if where == section]
        if lines:
            text += (f"[{section}]\n" if section else "") + "".join(lines)
    write(folder, {"task.toml": text, "instruction.md": "Do it.\n", "tests/test.sh": ""})
    try:
        benchmark = FolderBenchmark(folder, "demo")
        if not benchmark.unsupported:
            assert benchmark.tasks()
    except UsageError as error:
        assert "task.toml: " in str(error)
        assert error.hint
        assert any(key in str(error) for _, key in table) or "broken TOML" in str(error)
        assert len(str(error)) < 1000


@given(st.text(st.characters(codec="utf-8"), max_size=200))
@settings(deadline=None)
def test_any_dockerfile_is_read_or_needs_an_image(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "dockerfile"
    write(folder, {"task.toml": MINIMAL, "instruction.md": "Do it.\n", "tests/test.sh": ""})
    write(folder, {"environment/Dockerfile": f"FROM x\nENV {text}\nCOPY {text}\nWORKDIR {text}\n"})
    try:
        FolderBenchmark(folder, "demo").tasks()
    except UsageError as error:
        assert "dockerfile" in str(error)


CHECK = {"id": "a", "call": "m.f", "args": [1], "returns": 2, "weight": 2, "seconds": 1}
FILES = {
    "task.toml": MINIMAL,
    "instruction.md": "Do it.\n",
    "tests/test.sh": "",
    "tests/checks.json": json.dumps({"checks": [CHECK]}),
    "tests/test_a.py": "def test_a(): pass\n",
    "environment/Dockerfile": "FROM x:1\nWORKDIR /app\nCOPY w/ .\n",
    "environment/.dockerignore": "*.log\n",
    "environment/w/a.txt": "a",
    "solution/solve.sh": "",
    ".gitignore": "*.tmp\n",
    "../dataset.toml": "[[tasks]]\nname = 'x'\n",
}
NAMES = st.sampled_from([*FILES, "tests/\udcff", "steps/x", "tests", "environment", "environment/w"])
THINGS = st.one_of(
    st.binary(max_size=60),
    st.text("[]='\"\n#aZ0.{}*!/\\\0ü", max_size=40).map(str.encode),
    st.sampled_from(["missing", "directory", "link", "dangling", "loop", "pipe"]),
)


def put(path: Path, thing: bytes | str) -> None:
    """One thing of a task folder as something else than it should be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    match thing:
        case bytes():
            path.write_bytes(thing)
        case "directory":
            path.mkdir()
        case "link" | "dangling" | "loop":
            path.symlink_to({"link": "/etc/passwd", "dangling": "/no/where", "loop": path.name}[thing])
        case "pipe":
            os.mkfifo(path)


@given(
    st.lists(st.tuples(NAMES, THINGS), min_size=1, max_size=2),
    st.sampled_from(["auto", "split", "two-box", "script"]),
    st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_whatever_lies_in_a_folder_is_a_task_a_reason_or_an_error_that_names_it(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[str, bytes | str]],
    mode: str,
    manifest: bool,
) -> None:
    root = tmp_path_factory.mktemp("any")
    folder = root / "fuzzed"
    table = MINIMAL + f'[metadata.sica]\ngrading = "{mode}"\n'
    write(folder, {**FILES, "task.toml": table})
    if not manifest:
        (root / "dataset.toml").unlink()
    for name, thing in changes:
        if (folder / name).parent.is_dir():
            put(folder / name, thing)
    benchmark = FolderBenchmark(root, "demo")
    try:
        for task in benchmark.tasks():
            benchmark.workspace(task)
            if task.image is None:
                benchmark.case(task)
    except UsageError as error:
        assert str(root) in str(error), error
        assert error.hint, error
        assert len(str(error)) < 1000
        assert str(error).isprintable(), error


CHECKS_OF_EVERY_KIND: list[dict[str, Any]] = [
    CHECK,
    {"id": "b", "call": "m.f", "kwargs": {"x": 1}, "raises": "ValueError", "guard": True},
    {"id": "c", "steps": [{"new": "b", "call": "m.B"}, {"on": "b", "call": "x", "args": [1]}], "returns": []},
    {"id": "d", "run": ["python3", "-m", "m"], "stdin": "", "stdout": "", "exit": 0},
    {"id": "e", "file": "a.txt", "accept": {"x": 0.5}},
    {"id": "f", "file": "a.txt", "expected": "a.txt"},
]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=4),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.none(), max_size=2),
    st.sampled_from(["../x", "/etc/passwd", "\0", "\ud800", "a..b", "."]),
)


def mutate(value: Any, pick: Callable[[int], int], odd: Any) -> Any:
    """The same JSON with one place of it replaced."""
    if isinstance(value, dict | list) and value and pick(4):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        at = keys[pick(len(keys))]
        copy = value.copy()
        copy[at] = mutate(value[at], pick, odd)
        return copy
    return odd


@given(st.data(), ODD)
@settings(deadline=None, max_examples=400)
def test_checks_with_an_odd_value_are_refused_or_can_be_judged(data: st.DataObject, odd: Any) -> None:
    document = mutate({"checks": CHECKS_OF_EVERY_KIND}, lambda n: data.draw(st.integers(0, n - 1)), odd)
    tests = {"checks.json": File(json.dumps(document).encode()), "a.txt": File(b"a")}
    try:
        checks = grading.read_checks("/t/x", tests)
    except UsageError as error:
        assert "/t/x/tests/checks.json: " in str(error)
        assert error.hint
        assert str(error).isprintable()
        return
    json.dumps(rules.questions(checks)).encode()
    given = {
        check["id"]: float(rules.answered(check, {"value": 2})) for check in checks if "file" not in check
    }
    assert 0 <= rules.total(checks, given) <= 1


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"tests/checks.json": "{"}, ["checks.json", "broken JSON"]),
        ({"tests/checks.json": '{"checks": [{"id": "a", "call": 3, "returns": 1}]}'}, ["'a'", "call = 3"]),
        ({"tests/checks.json": '{"checks": [{"id": "a", "file": "../x", "accept": {}}]}'}, ["file = '../x'"]),
        ({"task.toml": "[metadata.sica]\ngrading = 'two-box'", "tests/test_a.py": "def ("}, ["test_a.py: line 1"]),
        ({"task.toml": "[metadata.sica]\ngrading = 'two-box'", "tests/test_a.py": "x = 1"}, ["no test function"]),
        ({"task.toml": "[metadata.sica]\ngrading = 'split'"}, ["checks.json", "no such file"]),
    ],
)  # fmt: skip
def test_a_judge_with_nothing_to_judge_by_is_found_before_anything_is_spent(
    task: Path, files: dict[str, str], named: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        FolderBenchmark(write(task, files), "demo").tasks()
    assert all(each in f"{caught.value}" for each in named), caught.value
    assert caught.value.hint


def test_checks_do_not_stand_in_for_the_script_that_is_asked_for(task: Path) -> None:
    (task / "tests/test.sh").unlink()
    write(task, {"task.toml": "[metadata.sica]\ngrading = 'script'", "tests/checks.json": "{}"})
    with pytest.raises(UsageError, match=r"test.sh: there is no such file"):
        FolderBenchmark(task, "demo").tasks()


@pytest.mark.parametrize("name", ["spaces in it", "größe", "任务", "a[b]*?", "-dash", "quote'\"$(x)"])
def test_a_task_may_have_any_printable_name(task: Path, name: str) -> None:
    root = task.parent / "o ü"
    write(root / name, {"task.toml": MINIMAL, "instruction.md": "x", "tests/test.sh": ""})
    (read,) = FolderBenchmark(root, "o ü", names=[f"o ü/{name}"]).tasks()
    assert (read.name, read.benchmark) == (name, "o ü")


def test_a_name_with_a_line_end_is_refused(task: Path) -> None:
    write(task.parent / "a\nb", {"task.toml": MINIMAL, "instruction.md": "x", "tests/test.sh": ""})
    with pytest.raises(UsageError, match="is no name for a task"):
        FolderBenchmark(task.parent, "demo").tasks()


@pytest.mark.parametrize(
    "text",
    [
        "cat <<EOF\nEOF\n",
        "'\"`$(id)\\ {instruction} %s\r\n\tend",
        "\ufeffmark\x0b\x0c\x1c\u2028\x85 lines",
        "ü" * 60_000,
    ],
)
def test_an_instruction_is_kept_byte_for_byte(task: Path, text: str) -> None:
    (task / "instruction.md").write_bytes(text.encode())
    assert harbor.read(task).instruction.encode() == text.encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"do\0it", "NUL at character 2"),
        (b"do\xff", "not UTF-8 at byte 2"),
        (b" \n", "empty"),
        (b"x" * 120_001, "120001 bytes; an instruction may have 120000"),
    ],
)
def test_an_instruction_that_cannot_arrive_is_refused(task: Path, data: bytes, said: str) -> None:
    (task / "instruction.md").write_bytes(data)
    with pytest.raises(UsageError, match=f"instruction.md: .*{said}") as caught:
        harbor.read(task)
    assert caught.value.hint


def test_a_link_in_a_task_is_refused(task: Path) -> None:
    (task / "tests" / "more").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="may not hold links"):
        harbor.read(task)


def test_tasks_are_chosen_by_name_and_glob(task: Path) -> None:
    for name in ("fix-a", "fix-b"):
        write(task.parent / name, {"task.toml": MINIMAL, "instruction.md": "x", "tests/test.sh": ""})
    chosen = FolderBenchmark(task.parent, "demo", names=["demo/fix-*"]).tasks()
    assert [each.id for each in chosen] == ["demo/fix-a", "demo/fix-b"]
    with pytest.raises(UsageError, match="no task called 'fix-c'; there are: fix-a, fix-b, hello"):
        FolderBenchmark(task.parent, "demo", names=["fix-c"]).tasks()


def test_an_unknown_benchmark_says_what_there_is() -> None:
    with pytest.raises(UsageError, match="no benchmark called 'cor'; there are: ") as caught:
        open_benchmark("cor")
    assert "core" in str(caught.value)


def test_a_path_is_a_benchmark(task: Path) -> None:
    assert [each.id for each in open_benchmark(str(task.parent)).tasks()] == ["demo/hello"]
    assert [each.id for each in open_benchmark(str(task)).tasks()] == ["demo/hello"]


def test_every_shipped_task_is_read_without_a_warning() -> None:
    for name in shipped():
        benchmark = open_benchmark(name)
        assert benchmark.tasks()
        assert not benchmark.unsupported
        assert [folder.warnings for folder in benchmark.folders.values() if folder.warnings] == []
