"""Runs hidden pytest files whose `import solution` is a proxy: the T side of the two-box judge. No
agent code here.

    python3 -I proxied.py SOCKET REPORT NONCE TESTS SITE SECONDS

Modules that this box does not have are asked of the agent's box. Data crosses by value; the rest are proxies.
`==` between a proxy and plain data is decided here: no object of the agent's can declare itself equal
to a value.
"""

from __future__ import annotations

import base64
import builtins
import contextlib
import datetime
import decimal
import fractions
import functools
import importlib.abc
import importlib.machinery
import io
import json
import operator
import pathlib
import random
import socket
import struct
import sys
import time
import types
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

FRAME_BYTES = 8_000_000
DEPTH = 60


class Gone(Exception):
    """The agent's side hung, died or talked nonsense."""


class Door:
    """The one connection to the agent's box."""

    def __init__(self, path: str, seconds: float) -> None:
        self.seconds = seconds
        self.peer = socket.socket(socket.AF_UNIX)
        self.peer.connect(path)
        self.come = bytearray()
        self.generation = 0
        self.broken = ""
        """Why the running test cannot pass any more, whatever it catches."""
        self.alive = True
        self.guests: list[Any] = []
        self.things: dict[tuple[int, int], Any] = {}
        """(generation, number) -> proxy: identity survives the crossing."""

    # ── asking ────────────────────────────────────────────────────────────────────────────────────

    def ask(self, **request: Any) -> Any:
        """The answer, as a value or as the exception the agent's code raised."""
        if not self.alive:
            self.restart()
        try:
            reply = self.exchange(request)
        except Gone as e:
            self.lost(e)
        self.print_(reply)
        if "raise" in reply:
            error = self.exception(reply["raise"])
            if isinstance(error, Gone):
                self.spoil(str(error))
            raise error from None
        return reply

    def lost(self, why: Gone) -> NoReturn:
        self.alive = False
        self.spoil(str(why))

    def spoil(self, why: str) -> NoReturn:
        """The running test has failed, whatever it expects or catches."""
        self.broken = why
        fail(why)

    def value(self, **request: Any) -> Any:
        return self.decode(self.ask(**request)["value"])

    def exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        self.send(request)
        left = self.seconds
        while True:
            asked = time.monotonic()
            reply = self.receive(left)
            left -= time.monotonic() - asked  # all of an answer's questions share its time
            if "gone" in reply:
                raise Gone(f"no answer: {str(reply['gone'])[:200]}")
            if "ask" not in reply:
                if "value" not in reply and "raise" not in reply:
                    raise Gone("an answer without a value")
                return reply
            self.print_(reply)
            self.send(self.serve_guest(reply))

    def restart(self) -> None:
        until = time.monotonic() + self.seconds
        try:
            self.send({"op": "reset"})
            while "reset" not in self.receive(until - time.monotonic()):
                continue  # late words of the process that is gone
        except Gone as e:
            self.lost(e)
        self.generation += 1
        self.alive = True

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        if len(data) > FRAME_BYTES:
            raise ValueError("too large to cross to the agent's box")
        try:
            self.peer.settimeout(self.seconds)
            self.peer.sendall(struct.pack(">I", len(data)) + data)
        except OSError as e:
            raise Gone(f"no connection: {e}") from None

    def receive(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        try:
            message = json.loads(self.frame(until))
        except TimeoutError:
            raise Gone(f"no answer within {self.seconds:g} s") from None
        except (OSError, ValueError, RecursionError) as e:
            raise Gone(f"no answer: {type(e).__name__}") from None
        if not isinstance(message, dict):
            raise Gone("an answer that is none")
        return message

    def frame(self, until: float) -> bytes:
        """What has come of a frame stays when the time is over: the next one begins where this one ends."""
        self.fill(4, until)
        size = struct.unpack(">I", self.come[:4])[0]
        if size > FRAME_BYTES:
            raise Gone("an answer that is too large")
        self.fill(4 + size, until)
        data = bytes(self.come[4:])
        self.come.clear()
        return data

    def fill(self, size: int, until: float) -> None:
        while len(self.come) < size:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.peer.settimeout(left)
            chunk = self.peer.recv(size - len(self.come))
            if not chunk:
                raise Gone("the connection was closed")
            self.come += chunk

    @staticmethod
    def print_(reply: dict[str, Any]) -> None:
        for stream, key in ((sys.stdout, "out"), (sys.stderr, "err")):
            if text := reply.get(key):
                stream.write(str(text))

    # ── objects of the tests' that the agent's code may use ───────────────────────────────────────

    def guest(self, value: Any) -> int:
        for number, known in enumerate(self.guests):
            if known is value:
                return number
        self.guests.append(value)
        return len(self.guests) - 1

    def serve_guest(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"op": "answer", "value": self.encode(self.use_guest(request))}
        except Exception as e:  # noqa: BLE001  # goes to the agent's code as a plain built-in error
            return {"op": "answer", "raise": self.encode_error(e)}

    def use_guest(self, request: dict[str, Any]) -> Any:
        number = request["ask"]
        if type(number) is not int or not 0 <= number < len(self.guests):
            raise LookupError("no such object")
        target, args = self.guests[number], [self.decode(arg) for arg in request["args"]]
        name = request.get("name", "")
        if request["op"] == "call":
            return target(*args, **{str(k): self.decode(v) for k, v in request["kwargs"].items()})
        if not is_open(target) or name.startswith("_"):
            raise AttributeError(name)
        match request["op"]:
            case "get":
                return getattr(target, name)
            case "set":
                return setattr(target, name, args[0])
            case "len":
                return len(target)
            case "iter":
                return list(target)
            case "item":
                return target[args[0]]
        raise LookupError("no such question")

    # ── values ────────────────────────────────────────────────────────────────────────────────────

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
        if (ref := ref_of(value)) is not None:
            return {"t": "ref", "h": ref.number(self)}
        return standard(value) or self.encode_object(value)

    def encode_object(self, value: Any) -> dict[str, Any]:
        name = getattr(value, "__name__", "")
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return {"t": "type", "v": name}
        if isinstance(value, BaseException):
            return self.encode_error(value)
        if is_open(value) or isinstance(value, CALLABLE):
            return {"t": "guest", "id": self.guest(value)}
        raise TypeError(f"a {type(value).__name__} cannot cross to the agent's box (docs/tasks.md)")

    def encode_error(self, e: BaseException) -> dict[str, Any]:
        if (ref := ref_of(e)) is not None:
            return {"t": "ref", "h": ref.number(self)}
        name = next(c.__name__ for c in type(e).__mro__ if c.__module__ == "builtins")
        args = [arg for arg in e.args if arg is None or type(arg) in (str, int, float, bool)]
        return {"t": "raise", "n": name if name != "object" else "Exception", "args": args}

    def decode(self, coded: Any, depth: int = 0) -> Any:
        """Anything but the agreed shapes is an error in the running test."""
        try:
            return self.decoded(coded, depth)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as e:
            self.spoil(f"an answer that cannot be read: {type(e).__name__}")

    def decoded(self, coded: Any, depth: int) -> Any:
        if depth > DEPTH * 2:
            raise ValueError("nested too deeply")
        if isinstance(coded, list):
            return [self.decoded(item, depth + 1) for item in coded]
        if not isinstance(coded, dict):
            return coded
        return self.plain(coded, depth) if "v" in coded and coded["t"] != "type" else self.known(coded)

    def plain(self, coded: dict[str, Any], depth: int) -> Any:
        value = coded["v"]
        match coded["t"]:
            case "int":
                return int(value, 16)
            case "tuple" | "set" | "frozenset" as name:
                return getattr(builtins, name)([self.decoded(item, depth + 1) for item in value])
            case "dict":
                return {self.decoded(k, depth + 1): self.decoded(v, depth + 1) for k, v in value}
            case "bytes" | "bytearray" as name:
                return getattr(builtins, name)(base64.b64decode(value))
            case "std":
                return STANDARD[coded["k"]](value)
            case "builtin":
                return {"NotImplemented": NotImplemented, "Ellipsis": Ellipsis}[value]
        raise ValueError("unknown shape")

    def known(self, coded: dict[str, Any]) -> Any:
        match coded["t"]:
            case "guest":
                return self.guests[coded["id"]]
            case "type" | "cls":
                return self.kind(coded)
            case "mod":
                return Module(coded["name"], Ref(self, coded["h"], (coded["name"], "")), coded)
            case "exc":
                return self.exception(coded)
            case "obj":
                return self.thing(coded)
        raise ValueError("unknown shape")

    def thing(self, coded: dict[str, Any]) -> Any:
        key = (self.generation, coded["h"])
        if key not in self.things:
            cls = self.kind(coded["c"])
            made: Any = object.__new__(cls if isinstance(cls, Kind) else Thing)  # type: ignore[arg-type]
            plain = PLAIN if "p" not in coded else self.decoded(coded["p"][1], 0)
            object.__setattr__(made, "_sica", Ref(self, coded["h"], None, plain))
            self.things[key] = made
        elif "p" in coded:
            ref_of(self.things[key]).plain = self.decoded(coded["p"][1], 0)  # type: ignore[union-attr]
        return self.things[key]

    def kind(self, coded: dict[str, Any]) -> type:
        """A class of the agent's as a class here: real for errors, so that pytest.raises can name it."""
        if coded["t"] == "type":
            found = getattr(builtins, coded["v"])
            if not isinstance(found, type):
                raise TypeError("not a class")
            return found
        key = (self.generation, coded["h"])
        if key not in self.things:
            bases = [self.kind(base) for base in coded["b"]]
            ref = Ref(self, coded["h"], None)
            errors = tuple(base for base in bases if issubclass(base, BaseException))
            name = str(coded["n"]).rpartition(".")[2]
            if errors:
                body = {"_sica_class": ref, "__module__": str(coded["m"]), "__getattr__": _error_attribute}
                self.things[key] = _class(name, errors, body)
            else:
                kinds = tuple(base for base in bases if isinstance(base, Kind)) or (Thing,)
                body = {"__module__": str(coded["m"]), "__hash__": Thing.__hash__}
                self.things[key] = _class(name, kinds, body, Kind)
                type.__setattr__(self.things[key], "_sica_class", ref)
        found = self.things[key]
        assert isinstance(found, type)
        return found

    def exception(self, coded: dict[str, Any]) -> BaseException:
        try:
            cls = self.kind(coded["c"])
            if not issubclass(cls, Exception | SystemExit):
                raise TypeError(cls.__name__)
            args = tuple(self.decoded(arg, 0) for arg in coded["args"])
            made: BaseException = cls.__new__(cls, *args)
            made.args = args
            if isinstance(made, SystemExit):
                made.code = args[0] if len(args) == 1 else None
            if hasattr(cls, "_sica_class"):
                made.__dict__["_sica"] = Ref(self, coded["h"], None)
                made.__dict__["_said"] = str(coded["str"])
            return made
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as e:
            return Gone(f"the agent's code raised something that is no ordinary error ({type(e).__name__})")


def _class(name: str, bases: tuple[type, ...], body: dict[str, Any], meta: type = type) -> type:
    if issubclass(bases[0], BaseException):
        body["__str__"] = lambda self: self.__dict__.get("_said", "")
        body["__init__"] = _error_init
        body["__new__"] = bases[0].__new__
    try:
        return meta(name, bases, body)  # type: ignore[no-any-return]
    except TypeError:
        return meta(name, bases[:1], body)  # type: ignore[no-any-return]


def _error_init(self: BaseException, *args: Any, **kwargs: Any) -> None:
    """A test that makes one of the agent's errors itself gets one that is known on the other side too."""
    door = type(self)._sica_class.door  # type: ignore[attr-defined]
    made = door.value(op="call", on=door.encode(type(self)), args=[door.encode(a) for a in args],
                      kwargs={k: door.encode(v) for k, v in kwargs.items()})  # fmt: skip
    self.__dict__.update(made.__dict__)
    self.args = made.args


def _error_attribute(self: BaseException, name: str) -> Any:
    ref = self.__dict__.get("_sica")
    if ref is None or name.startswith("__"):
        raise AttributeError(name)
    return ref.get(name)


# ── what stands for the agent's objects ───────────────────────────────────────────────────────────

PLAIN = object()
"""No plain data."""


class Ref:
    """Where an object is: its number in one generation of the agent's process, and how to find it again."""

    def __init__(self, door: Door, handle: int, origin: tuple[str, str] | None, plain: Any = PLAIN) -> None:
        if type(handle) is not int:
            raise ValueError("a handle is a number")
        self.door, self.handle, self.origin, self.plain = door, handle, origin, plain
        self.generation = door.generation
        self.was: dict[str, Any] = {}
        """Attributes that a test replaced: deleting one puts the earlier one back, as monkeypatch expects."""

    def number(self, door: Door) -> int:
        if not door.alive:
            door.restart()
        if self.generation != door.generation:
            if self.origin is None:
                door.spoil("an object of a process that has ended")
            self.handle = self._found_again(door)
            self.generation = door.generation
        return self.handle

    def _found_again(self, door: Door) -> int:
        module, name = self.origin or ("", "")
        coded = door.ask(op="import", name=module)["value"]
        if name:
            coded = door.ask(op="get", on={"t": "ref", "h": coded["h"]}, name=name)["value"]
        return int(coded["h"])

    def coded(self) -> dict[str, Any]:
        return {"t": "ref", "h": self.number(self.door)}

    def get(self, name: str) -> Any:
        value = self.door.value(op="get", on=self.coded(), name=name)
        found = ref_of(value)
        if found is not None and found.origin is None and self.origin and not self.origin[1]:
            found.origin = (self.origin[0], name)
        return value

    def set(self, name: str, value: Any) -> None:
        if name not in self.was:
            with contextlib.suppress(AttributeError):
                self.was[name] = self.get(name)
        self.door.ask(op="set", on=self.coded(), name=name, value=self.door.encode(value))

    def delete(self, name: str) -> None:
        if name in self.was:
            coded = self.door.encode(self.was.pop(name))
            self.door.ask(op="set", on=self.coded(), name=name, value=coded)
        else:
            self.door.ask(op="del", on=self.coded(), name=name)

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        door = self.door
        reply = door.ask(
            op="call",
            on=self.coded(),
            args=[door.encode(arg) for arg in args],
            kwargs={name: door.encode(value) for name, value in kwargs.items()},
        )
        for index, coded in (reply.get("changed") or {}).items():
            _write_back(args[int(index)], door.decode(coded))
        return door.decode(reply["value"])

    def special(self, name: str, *args: Any) -> Any:
        coded = [self.door.encode(arg) for arg in args]
        return self.door.value(op="special", on=self.coded(), name=name, args=coded)


def _write_back(mine: Any, theirs: Any) -> None:
    """A list that the agent's code sorted in place is sorted here too."""
    if type(mine) is not type(theirs) or (mine == theirs and repr(mine) == repr(theirs)):
        return
    if isinstance(mine, list | bytearray):
        mine[:] = theirs
    elif isinstance(mine, dict | set):
        mine.clear()
        mine.update(theirs)


def ref_of(value: Any) -> Ref | None:
    kind = type(value)
    if issubclass(kind, Thing):
        return object.__getattribute__(value, "_sica")  # type: ignore[no-any-return]
    if issubclass(kind, Module):
        return vars(value)["_sica"]  # type: ignore[no-any-return]
    if isinstance(value, type):
        found = vars(value).get("_sica_class")
        return found if isinstance(found, Ref) else None
    if isinstance(value, BaseException):
        found = value.__dict__.get("_sica")
        return found if isinstance(found, Ref) else None
    return None


class Kind(type):
    """A class of the agent's: calling it makes an object over there; isinstance works over here."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _ref(cls).call(args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name != "__members__":
            raise AttributeError(name)
        return _ref(cls).get(name)

    def __setattr__(cls, name: str, value: Any) -> None:
        _ref(cls).set(name, value)

    def __delattr__(cls, name: str) -> None:
        _ref(cls).delete(name)

    def __iter__(cls) -> Iterator[Any]:
        return iter(_ref(cls).special("__iter__"))

    def __len__(cls) -> int:
        return int(_ref(cls).special("__len__"))

    def __getitem__(cls, key: Any) -> Any:
        return _ref(cls).special("__getitem__", key)

    def __contains__(cls, value: Any) -> bool:
        return bool(_ref(cls).special("__contains__", value))

    def __bool__(cls) -> bool:
        return True


def _ref(value: Any) -> Ref:
    ref = ref_of(value)
    if ref is None:
        raise TypeError("tests cannot derive from a class of the agent's (docs/tasks.md)")
    return ref


class Thing(metaclass=Kind):
    """An object of the agent's."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_pytest") or name in ("__array__", "__wrapped__", "__test__"):
            raise AttributeError(name)
        plain = _ref(self).plain
        if isinstance(plain, str) and name in _ANSWERS:
            return getattr(plain, name)
        return _ref(self).get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ref(self).set(name, value)

    def __delattr__(self, name: str) -> None:
        _ref(self).delete(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _ref(self).call(args, kwargs)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """So that isinstance(x, tuple) holds for a named tuple; its own class is found before this is
        asked.
        """
        plain = _ref(self).plain
        return type(self) if plain is PLAIN else type(plain)

    def __eq__(self, other: object) -> bool:
        ref = _ref(self)
        if other is self:
            return True
        if isinstance(type(other), Kind):
            theirs = _ref(other).plain
            if PLAIN not in (ref.plain, theirs):
                return bool(ref.plain == theirs)
            return ref.special("__eq__", other) is True
        return ref.plain is not PLAIN and bool(ref.plain == other)

    def __hash__(self) -> int:
        ref = _ref(self)
        return hash(ref.special("__hash__") if ref.plain is PLAIN else ref.plain)

    def __iter__(self) -> Iterator[Any]:
        ref = _ref(self)
        if ref.plain is not PLAIN:
            return iter(ref.plain)
        walker = ref.special("__iter__")
        return walker if walker is self or not isinstance(type(walker), Kind) else iter(_Walk(walker))

    def __next__(self) -> Any:
        return _ref(self).special("__next__")

    def __repr__(self) -> str:
        return str(_ref(self).special("__repr__"))

    def __str__(self) -> str:
        return str(_ref(self).special("__str__"))

    def __bool__(self) -> bool:
        ref = _ref(self)
        return bool(ref.plain) if isinstance(ref.plain, SCALARS) else ref.special("__bool__") is True

    def __len__(self) -> int:
        return operator.index(_ref(self).special("__len__"))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return bool(_ref(self).special("__exit__", kind, error, None))

    def __dir__(self) -> list[str]:
        return [str(name) for name in _ref(self).special("__dir__")]


class _Walk:
    def __init__(self, walker: Any) -> None:
        self.walker = walker

    def __iter__(self) -> _Walk:
        return self

    def __next__(self) -> Any:
        return _ref(self.walker).special("__next__")


SCALARS = (int, float, str)
_ANSWERS = frozenset(("startswith", "endswith", "count", "find", "index", "rfind", "rindex"))
"""Methods of a text that are told what a test hopes for."""
_OPERATORS: dict[str, Callable[..., Any]] = {
    "__neg__": operator.neg,
    "__pos__": operator.pos,
    "__abs__": operator.abs,
    "__int__": int,
    "__float__": float,
    "__index__": operator.index,
    "__round__": round,
    "__divmod__": divmod,
    "__contains__": operator.contains,
    "__getitem__": operator.getitem,
}


def _forward(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any) -> Any:
        ref = _ref(self)
        here = _computed(name, ref.plain, args)
        if here is PLAIN:
            return ref.special(name, *args)
        there = ref.special(name, *args)  # its own kind of number, when it says the same
        return there if type(_plain_of(there)) is type(here) and _plain_of(there) == here else here

    return method


def _computed(name: str, mine: Any, args: Sequence[Any]) -> Any:
    """What a number's or a text's operator gives here; PLAIN when only the agent's side can say."""
    others = [_plain_of(arg) for arg in args]
    if not isinstance(mine, SCALARS) or any(other is PLAIN for other in others):
        return PLAIN
    if name in _OPERATORS:
        return _OPERATORS[name](mine, *others)
    base = name.strip("_").replace("invert", "")  # of a flag it is no arithmetic
    for operation, left_right in ((base, (mine, *others)), (base.removeprefix("r"), (*others, mine))):
        function = getattr(operator, f"__{operation}__", None)
        if function is not None:
            return function(*left_right)
    return PLAIN


def _plain_of(value: Any) -> Any:
    return _ref(value).plain if isinstance(type(value), Kind) else value


def _order(name: str) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        mine = _ref(self).plain
        if not isinstance(type(other), Kind):
            return NotImplemented if mine is PLAIN else getattr(operator, name.strip("_"))(mine, other)
        theirs = _ref(other).plain
        if PLAIN not in (mine, theirs):
            return getattr(operator, name.strip("_"))(mine, theirs)
        return _ref(self).special(name, other)

    return method


for _name in [
    "getitem",
    "setitem",
    "delitem",
    "contains",
    "enter",
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "rtruediv",
    "floordiv",
    "rfloordiv",
    "mod",
    "rmod",
    "pow",
    "rpow",
    "and",
    "rand",
    "or",
    "ror",
    "xor",
    "rxor",
    "lshift",
    "rshift",
    "matmul",
    "neg",
    "pos",
    "abs",
    "invert",
    "int",
    "float",
    "index",
    "format",
    "reversed",
    "round",
    "divmod",
]:
    type.__setattr__(Thing, f"__{_name}__", _forward(f"__{_name}__"))
for _name in ("lt", "le", "gt", "ge"):
    type.__setattr__(Thing, f"__{_name}__", _order(f"__{_name}__"))


class Module(types.ModuleType):
    """A module of the agent's."""

    def __init__(self, name: str, ref: Ref, coded: dict[str, Any]) -> None:
        super().__init__(name)
        fill(self, ref, coded)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        ref: Ref = vars(self)["_sica"]
        return ref.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            vars(self)[name] = value
            return
        ref: Ref = vars(self)["_sica"]
        ref.set(name, value)

    def __delattr__(self, name: str) -> None:
        ref: Ref = vars(self)["_sica"]
        ref.delete(name)


def fill(module: types.ModuleType, ref: Ref, coded: dict[str, Any]) -> None:
    own = ("pytest", "test", "Test", "setup", "teardown", "_")
    vars(module)["_sica"] = ref
    vars(module)["__all__"] = [str(name) for name in coded["all"] if not str(name).startswith(own)]
    if coded["pkg"] is True:
        vars(module)["__path__"] = []


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last on sys.meta_path: only what this box does not have is asked of the agent's."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top.startswith(("_", "pytest")) or top == "conftest":
            return None
        if name != top and not isinstance(sys.modules.get(top), Module):
            return None
        found = self.door.value(op="find", name=name)
        return importlib.machinery.ModuleSpec(name, self) if found is True else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        coded = self.door.ask(op="import", name=spec.name)["value"]
        if not isinstance(coded, dict) or coded.get("t") != "mod":
            raise ImportError(f"{spec.name} is not a module")
        if coded["pkg"] is True:
            spec.submodule_search_locations = []
        return Module(spec.name, Ref(self.door, coded["h"], (spec.name, "")), coded)

    def exec_module(self, module: types.ModuleType) -> None:
        """It ran over there."""


CALLABLE = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    functools.partial,
    type,
)
_OPEN = (io.StringIO, io.BytesIO, random.Random, types.SimpleNamespace)


def is_open(value: Any) -> bool:
    """Whether the agent's code may use an object's public attributes: fakes that a test made, and a
    few tools.
    """
    kind = type(value)
    if isinstance(value, (*CALLABLE, types.ModuleType, types.FrameType, types.CodeType, types.TracebackType)):
        return False
    if isinstance(value, _OPEN) or kind.__module__ == "unittest.mock":
        return True
    return str(getattr(sys.modules.get(kind.__module__), "__file__", "")).startswith(Report.tests + "/")


def standard(value: Any) -> dict[str, Any] | None:
    kind = type(value)
    if kind in (decimal.Decimal, fractions.Fraction, uuid.UUID, complex, pathlib.PosixPath):
        return {"t": "std", "k": kind.__name__, "v": str(value)}
    if kind in (datetime.datetime, datetime.date, datetime.time):
        return {"t": "std", "k": kind.__name__, "v": value.isoformat()}
    if kind is datetime.timedelta:
        return {"t": "std", "k": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
    if kind is range:
        return {"t": "std", "k": "range", "v": [value.start, value.stop, value.step]}
    return None


STANDARD: dict[str, Callable[[Any], Any]] = {
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "UUID": uuid.UUID,
    "complex": complex,
    "PosixPath": pathlib.Path,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda v: datetime.timedelta(*v),
    "range": lambda v: range(*v),
}


# ── pytest ────────────────────────────────────────────────────────────────────────────────────────


def fail(why: str) -> NoReturn:
    """A failure that no `except Exception` and no pytest.raises(Exception) swallows."""
    import pytest

    pytest.fail(why, pytrace=False)


class Report:
    """The plugin: what became of each test, in this box's own file."""

    tests = ""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_setup(self) -> None:
        self.door.broken = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        passed = report.outcome == "passed" and not hasattr(report, "wasxfail") and not self.door.broken
        before = self.outcomes.get(report.nodeid)
        good = passed and before in (None, "passed") and (report.when != "teardown" or before == "passed")
        if report.when == "setup" and passed:
            return
        self.outcomes[report.nodeid] = "passed" if good else "failed"


def main(argv: list[str]) -> int:
    _, path, report_path, nonce, tests, site, seconds = argv
    sys.path[:0] = [site, tests]
    import pytest

    Report.tests = tests
    door = Door(path, float(seconds))
    sys.meta_path.append(Finder(door))
    report = Report(door)
    options = ["-q", "--color=no", "-p", "no:cacheprovider", "--import-mode=importlib", f"--rootdir={tests}"]
    code = pytest.main([*options, "-c", "/dev/null", tests], plugins=[report])
    answer = {"nonce": nonce, "code": int(code), "outcomes": report.outcomes}
    pathlib.Path(report_path).write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
