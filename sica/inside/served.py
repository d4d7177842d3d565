"""Serves the agent's modules to the tests' box: the W side of the two-box judge. Holds no test.

    python3 -I served.py SOCKET WORKDIR

A supervisor owns the connection and forks the process that imports the agent's code; when that one hangs or
dies, the tests' side hears of it and may ask for a new one. Plain data crosses by value; other objects stay
here and are known by a number. Frames are a 4-byte length and JSON.
"""

from __future__ import annotations

import base64
import builtins
import ctypes
import datetime
import decimal
import fractions
import importlib
import importlib.util
import io
import json
import os
import pathlib
import select
import signal
import socket
import struct
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

FRAME_BYTES = 8_000_000
PRINTED_CHARS = 100_000
DEPTH = 60
SPECIALS = frozenset(
    [
        "__len__",
        "__iter__",
        "__next__",
        "__getitem__",
        "__setitem__",
        "__delitem__",
        "__contains__",
        "__enter__",
        "__exit__",
        "__bool__",
        "__str__",
        "__repr__",
        "__hash__",
        "__eq__",
        "__ne__",
        "__lt__",
        "__le__",
        "__gt__",
        "__ge__",
        "__add__",
        "__radd__",
        "__sub__",
        "__rsub__",
        "__mul__",
        "__rmul__",
        "__truediv__",
        "__rtruediv__",
        "__floordiv__",
        "__rfloordiv__",
        "__mod__",
        "__rmod__",
        "__pow__",
        "__rpow__",
        "__and__",
        "__rand__",
        "__or__",
        "__ror__",
        "__xor__",
        "__rxor__",
        "__lshift__",
        "__rshift__",
        "__matmul__",
        "__neg__",
        "__pos__",
        "__abs__",
        "__invert__",
        "__int__",
        "__float__",
        "__index__",
        "__format__",
        "__reversed__",
        "__round__",
        "__divmod__",
        "__dir__",
    ]
)


# ── frames ────────────────────────────────────────────────────────────────────────────────────────


def send(peer: socket.socket, message: Any) -> None:
    data = json.dumps(message).encode()
    if len(data) > FRAME_BYTES:
        raise ValueError("too large to cross")
    peer.sendall(struct.pack(">I", len(data)) + data)


def receive(peer: socket.socket) -> Any:
    data = _exactly(peer, struct.unpack(">I", _exactly(peer, 4))[0])
    return json.loads(data)


def _exactly(peer: socket.socket, size: int) -> bytes:
    if size > FRAME_BYTES:
        raise EOFError("frame too large")
    data = bytearray()
    while len(data) < size:
        chunk = peer.recv(size - len(data))
        if not chunk:
            raise EOFError("the other side has gone")
        data += chunk
    return bytes(data)


# ── supervisor ────────────────────────────────────────────────────────────────────────────────────


class Supervisor:
    """Pumps frames between the tests and the process of the agent's code, and replaces that process."""

    def __init__(self, tests: socket.socket, workdir: str) -> None:
        self.tests = tests
        self.workdir = workdir
        self.agent: socket.socket | None = None

    def serve(self) -> None:
        self.start()
        while True:
            sources = [self.tests, *([self.agent] if self.agent else [])]
            ready = select.select(sources, [], [])[0]
            if self.agent in ready:
                self.from_agent()
            if self.tests in ready:
                self.from_tests()

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            ours.close()
            self.tests.close()
            Served(theirs, self.workdir).serve()
            os._exit(0)
        theirs.close()
        self.agent = ours

    def stop(self) -> None:
        """Kill until there are none: the orphans of the killed become children of this process."""
        children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
        while pids := children.read_text().split():
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
            for pid in pids:
                os.waitpid(int(pid), 0)
        if self.agent:
            self.agent.close()
        self.agent = None

    def from_agent(self) -> None:
        assert self.agent is not None
        try:
            message = receive(self.agent)
        except (EOFError, OSError, ValueError, RecursionError):
            self.stop()
            message = {"gone": "the process of the agent's code ended"}
        send(self.tests, message)

    def from_tests(self) -> None:
        message = receive(self.tests)
        if message.get("op") == "reset":
            if self.agent:
                self.stop()
            self.start()
            send(self.tests, {"reset": True})
        elif self.agent is None:
            send(self.tests, {"gone": "there is no process of the agent's code"})
        else:
            try:
                send(self.agent, message)
            except OSError:
                return  # from_agent will say so


# ── the agent's process ───────────────────────────────────────────────────────────────────────────


class Printed(io.StringIO):
    """What the agent's code prints goes to the test that called it, up to a limit."""

    def write(self, text: str) -> int:
        if self.tell() < PRINTED_CHARS:
            super().write(text[:PRINTED_CHARS])
        return len(text)


class Guest:
    """An object of the tests', as the agent's code sees it: every use is a question to the tests' box."""

    __slots__ = ("_ask", "_id")

    def __init__(self, ask: Callable[..., Any], id: int) -> None:
        object.__setattr__(self, "_ask", ask)
        object.__setattr__(self, "_id", id)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._ask(self._id, "call", "", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._ask(self._id, "get", name, (), {})

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask(self._id, "set", name, (value,), {})

    def __len__(self) -> int:
        return int(self._ask(self._id, "len", "", (), {}))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._ask(self._id, "iter", "", (), {}))

    def __getitem__(self, key: Any) -> Any:
        return self._ask(self._id, "item", "", (key,), {})


class Served:
    """Answers one request at a time with the agent's code; a callback is a request in the other direction."""

    def __init__(self, peer: socket.socket, workdir: str) -> None:
        self.peer = peer
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}
        self.guests: dict[int, Guest] = {}
        """By number: an object of the tests' that comes twice is one object, so that it can be found in a list."""
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.chdir(workdir)
        src = pathlib.Path(workdir, "src")
        sys.path[:0] = [workdir, *([str(src)] if src.is_dir() else [])]
        sys.dont_write_bytecode = True

    def serve(self) -> None:
        while True:
            try:
                request = receive(self.peer)
            except (EOFError, OSError):
                return
            send(self.peer, self.answer(request))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        out, err = Printed(), Printed()
        old = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = out, err
        try:
            reply = self.perform(request)
        except BaseException as e:  # noqa: BLE001  # what the agent's code raises is the answer
            reply = {"raise": self.error(e)}
        finally:
            sys.stdout, sys.stderr = old
        return {**reply, "out": out.getvalue(), "err": err.getvalue()}

    def perform(self, request: dict[str, Any]) -> dict[str, Any]:
        op = request["op"]
        if op == "import":
            return {"value": self.encode(importlib.import_module(request["name"]))}
        if op == "find":
            return {"value": self.findable(request["name"])}
        target = self.decode(request["on"])
        if op == "get":
            return {"value": self.encode(getattr(target, request["name"]))}
        if op == "set":
            setattr(target, request["name"], self.decode(request["value"]))
            return {"value": None}
        if op == "del":
            delattr(target, request["name"])
            return {"value": None}
        args = [self.decode(arg) for arg in request.get("args", ())]
        if op == "call":
            kwargs = {name: self.decode(value) for name, value in request.get("kwargs", {}).items()}
            value = target(*args, **kwargs)
            changed = {
                n: self.encode(arg) for n, arg in enumerate(args) if type(arg) in (list, dict, set, bytearray)
            }
            return {"value": self.encode(value), "changed": changed}
        if op == "special" and request["name"] in SPECIALS:
            return {"value": self.encode(self.special(target, request["name"], args))}
        raise ValueError(f"unknown request {op!r}")

    @staticmethod
    def findable(name: str) -> bool:
        return importlib.util.find_spec(name) is not None

    @staticmethod
    def special(target: Any, name: str, args: list[Any]) -> Any:
        """As the interpreter looks it up: on the type, never on the instance."""
        simple: dict[str, Callable[..., Any]] = {
            "__iter__": iter, "__next__": next, "__len__": len, "__bool__": bool,
            "__str__": str, "__repr__": repr,
            "__hash__": hash, "__dir__": dir, "__reversed__": reversed, "__contains__": lambda o, x: x in o,
            "__format__": format, "__getitem__": lambda o, k: o[k],
        }  # fmt: skip
        if name in simple:
            return simple[name](target, *args)
        method = getattr(type(target), name)
        return method(target, *args)

    # ── values ────────────────────────────────────────────────────────────────────────────────────

    def number(self, value: Any) -> int:
        """One number for one object, for as long as this process lives: identity survives the crossing."""
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects) + 1
            self.objects[len(self.objects) + 1] = value
        return self.numbers[id(value)]

    def encode(self, value: Any, depth: int = 0) -> Any:
        if depth > DEPTH:
            raise ValueError("nested too deeply to cross")
        kind = type(value)
        if value is None or kind in (bool, float, str):
            return value
        if kind is int:
            return value if abs(value) < 2**60 else {"t": "int", "v": hex(value)}
        if kind is list:
            return [self.encode(item, depth + 1) for item in value]
        if kind in (tuple, set, frozenset):
            return {"t": kind.__name__, "v": [self.encode(item, depth + 1) for item in value]}
        if kind is dict:
            pairs = [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in value.items()]
            return {"t": "dict", "v": pairs}
        if kind in (bytes, bytearray):
            return {"t": kind.__name__, "v": base64.b64encode(value).decode()}
        if value is NotImplemented or value is Ellipsis:
            return {"t": "builtin", "v": str(value)}
        return self.standard(value) or self.object(value, depth)

    @staticmethod
    def standard(value: Any) -> Any:
        kind = type(value)
        if kind in (decimal.Decimal, fractions.Fraction, uuid.UUID, complex, pathlib.PosixPath):
            return {"t": "std", "k": kind.__name__, "v": str(value)}
        if kind in (datetime.datetime, datetime.date, datetime.time):
            return {"t": "std", "k": kind.__name__, "v": value.isoformat()}
        if kind is datetime.timedelta:
            return {"t": "std", "k": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
        if kind is range:
            return {"t": "std", "k": "range", "v": [value.start, value.stop, value.step]}
        if kind is Guest:
            return {"t": "guest", "id": object.__getattribute__(value, "_id")}
        return None

    def object(self, value: Any, depth: int) -> dict[str, Any]:
        if isinstance(value, type):
            return self.kind(value)
        if type(value) is types.ModuleType:
            public = getattr(value, "__all__", None) or [n for n in vars(value) if not n.startswith("_")]
            return {
                "t": "mod", "h": self.number(value), "name": value.__name__,
                "pkg": hasattr(value, "__path__"), "all": [str(n) for n in public],
            }  # fmt: skip
        if isinstance(value, BaseException):
            return {"t": "exc", **self.error(value)}
        coded = {"t": "obj", "h": self.number(value), "c": self.kind(type(value)), "call": callable(value)}
        plain = self.plain(value, depth)
        return {**coded, "p": plain} if plain else coded

    def plain(self, value: Any, depth: int) -> list[Any] | None:
        """The data of an instance of a built-in's subclass, read by the built-in's own methods."""
        if isinstance(value, dict):
            pairs = [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in dict.items(value)]
            return ["dict", {"t": "dict", "v": pairs}]
        base: Any
        for base in (list, tuple, set, frozenset):
            if isinstance(value, base):
                items = [self.encode(item, depth + 1) for item in base.__iter__(value)]
                return [base.__name__, items if base is list else {"t": base.__name__, "v": items}]
        if isinstance(value, str):
            return ["str", "".join(str.__iter__(value))]
        number: Any
        for number in (int, float):
            if isinstance(value, number):
                return [number.__name__, self.encode(number.__pos__(value), depth + 1)]
        return None

    def kind(self, cls: type) -> dict[str, Any]:
        if cls.__module__ == "builtins" and getattr(builtins, cls.__name__, None) is cls:
            return {"t": "type", "v": cls.__name__}
        bases = [self.kind(base) for base in type.__getattribute__(cls, "__bases__")]
        return {
            "t": "cls",
            "h": self.number(cls),
            "n": cls.__qualname__,
            "m": str(cls.__module__),
            "b": bases,
        }

    def error(self, e: BaseException) -> dict[str, Any]:
        try:
            args, text = [self.encode(arg) for arg in e.args], str(e)
        except BaseException:  # noqa: BLE001  # an error that cannot be told is told without its words
            args, text = [], ""
        return {"h": self.number(e), "c": self.kind(type(e)), "args": args, "str": text[:PRINTED_CHARS]}

    def decode(self, coded: Any) -> Any:
        if isinstance(coded, list):
            return [self.decode(item) for item in coded]
        if not isinstance(coded, dict):
            return coded
        value: Any = coded.get("v")
        match coded["t"]:
            case "ref":
                return self.objects[coded["h"]]
            case "guest":
                return self.guests.setdefault(coded["id"], Guest(self.ask, coded["id"]))
            case "raise":
                return getattr(builtins, coded["n"])(*self.decode(coded["args"]))
            case "int":
                return int(value, 16)
            case "tuple" | "set" | "frozenset" as name:
                return getattr(builtins, name)(self.decode(value))
            case "dict":
                return {self.decode(k): self.decode(v) for k, v in value}
            case "bytes" | "bytearray" as name:
                return getattr(builtins, name)(base64.b64decode(value))
            case "type" | "builtin":
                return getattr(builtins, value)
        return _standard_back(coded["k"], value)

    def ask(self, id: int, op: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        coded = {n: self.encode(v) for n, v in kwargs.items()}
        send(
            self.peer,
            {"ask": id, "op": op, "name": name, "args": [self.encode(a) for a in args], "kwargs": coded},
        )
        while (reply := receive(self.peer)).get("op") != "answer":
            send(self.peer, self.answer(reply))
        if "raise" in reply:
            raise self.decode(reply["raise"])
        return self.decode(reply["value"])


def _standard_back(kind: str, value: Any) -> Any:
    makers: dict[str, Callable[[Any], Any]] = {
        "Decimal": decimal.Decimal, "Fraction": fractions.Fraction, "UUID": uuid.UUID, "complex": complex,
        "PosixPath": pathlib.Path, "datetime": datetime.datetime.fromisoformat,
        "date": datetime.date.fromisoformat,
        "time": datetime.time.fromisoformat, "timedelta": lambda v: datetime.timedelta(*v),
        "range": lambda v: range(*v),
    }  # fmt: skip
    return makers[kind](value)


def main(argv: list[str]) -> int:
    ctypes.CDLL(None).prctl(
        36, 1, 0, 0, 0
    )  # PR_SET_CHILD_SUBREAPER: what the agent's code leaves is ours to end
    with socket.socket(socket.AF_UNIX) as tests:
        tests.connect(argv[1])
        try:
            Supervisor(tests, argv[2]).serve()
        except (EOFError, OSError):
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
