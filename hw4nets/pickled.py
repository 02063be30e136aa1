"""A pickle of plain values and integer arrays, of any protocol, read as data.

A pickle is a program for a stack machine, whose opcodes may call functions, set the state of objects, hash nested
tuples for hours or allocate a memo of gigabytes. The machine here implements only the opcodes that plain values and
arrays need. It calls nothing: names are placeholders, a type is a word of a fixed list, and an array is made from its
bytes by `numpy.frombuffer`. Python's module pickletools reads the opcodes' arguments.
"""

from __future__ import annotations

import codecs
import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

MAX_OPCODES = 1_000_000  # an official batch has 60,000
MAX_KEY_CHARACTERS = 100
MAX_AXES = 4
MAX_NAME_CHARACTERS = 60  # characters of a foreign name in a message
INTEGER_TYPES = frozenset(("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"))
OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
ALLOWED_NAMES = {
    **{(f"numpy.{core}.multiarray", name): name for core in ("core", "_core") for name in ("_reconstruct", "scalar")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "_frombuffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
}


class PickleError(ValueError):
    """The pickle is damaged, too large, or uses operations that plain values and arrays do not need."""


def read_pickle(content: bytes) -> Any:
    """The value that a pickle holds: int, float, bool, None, str, bytes, list, tuple, dict, or an array of integers.

    Text of Python 2 is returned as bytes. Work and memory are bounded by MAX_OPCODES and the size of the content.
    Raises `PickleError`.
    """
    try:
        return _Machine(content).run()
    except PickleError:
        raise
    except Exception as error:  # any exception, if stack, memo or file lack an entry
        raise PickleError(f"it is cut short or damaged ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class _Name:
    """A placeholder of a function or class of numpy."""

    name: str


@dataclass(slots=True)
class _Type:
    """A placeholder of an integer type: a word of INTEGER_TYPES and a byte order, < or > or | or =."""

    word: str
    order: str = "="

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"{self.order}{self.word}")

    def build(self, state: Any) -> None:
        """(version, byte order, None, None, None, -1, -1, 0): only the byte order is used."""
        match state:
            case (_, "<" | ">" | "|" | "=" | b"<" | b">" | b"|" | b"=" as order, None, None, None, -1, -1, 0):
                self.order = order if isinstance(order, str) else order.decode()
            case _:
                _refuse("a type of numbers with an unusual state")


@dataclass(slots=True)
class _Array:
    """A placeholder of an array whose state comes later."""

    value: np.ndarray | None = None

    def build(self, state: Any) -> None:
        """(version, shape, type, whether in Fortran's order, bytes)."""
        _, shape, kind, fortran, content = state
        self.value = _array(content, kind, shape, "F" if fortran else "C")


def _refuse(what: str) -> NoReturn:
    raise PickleError(f"it asks for {what}, which no batch needs")


def _array(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(content, bytes) or not isinstance(kind, _Type) or order not in ("C", "F"):
        _refuse("an array of something else than bytes")
    if (
        not isinstance(shape, tuple)
        or len(shape) > MAX_AXES
        or any(type(size) is not int or not 0 <= size <= len(content) for size in shape)
    ):
        _refuse("an array of a shape that its bytes cannot fill")
    if math.prod(shape) * kind.dtype.itemsize != len(content):
        raise PickleError(f"it holds an array of shape {shape} with {len(content)} bytes")
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


class _Machine:
    """The stack, its marks, and the memo."""

    def __init__(self, content: bytes) -> None:
        self.file = io.BytesIO(content)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.to_encode = len(content)  # characters that may be encoded: a text in the memo not again and again

    def run(self) -> Any:
        """Until STOP."""
        for _ in range(MAX_OPCODES):
            opcode = OPCODES.get(self.file.read(1).decode("latin-1"))
            if opcode is None:
                raise PickleError("it is cut short, or not a pickle")
            if opcode.name == "STOP":
                return _plain(self.stack.pop())
            act = ACTIONS.get(opcode.name)
            if act is None:
                _refuse(f"the opcode {opcode.name}")
            act(self, self._argument(opcode))
        raise PickleError(f"it has more than {MAX_OPCODES:,} opcodes")

    def _argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        if opcode.arg is None:
            return None
        if opcode.name == "STRING":  # text of Python 2 in protocol 0: any bytes, quoted
            line = self.file.readline()
            if not line.endswith(b"\n") or len(line) < 3 or line[:1] not in b"'\"" or line[-2:-1] != line[:1]:
                raise PickleError("it is cut short or damaged (a quoted text)")
            return codecs.escape_decode(line[1:-2])[0]
        return opcode.arg.reader(self.file)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """Pop the values pushed since the last mark."""
        place = self.marks.pop()
        items = self.stack[place:]
        del self.stack[place:]
        return items

    def last(self, count: int) -> list[Any]:
        """Take the last `count` values from the stack; raises IndexError if there are fewer."""
        return [self.stack.pop() for _ in range(count)][::-1]

    def top(self, kind: type) -> Any:
        """The last value, which must be of the kind; it stays on the stack."""
        if type(self.stack[-1]) is not kind:
            _refuse(f"an operation of {kind.__name__} on another type")
        return self.stack[-1]

    def name(self, module: Any, name: Any) -> None:
        """The placeholder of a name of numpy."""
        if not isinstance(module, str) or not isinstance(name, str):
            _refuse("a name that is not text")
        if (module, name) not in ALLOWED_NAMES:
            _refuse(repr(f"{module[:MAX_NAME_CHARACTERS]}.{name[:MAX_NAME_CHARACTERS]}").strip("'\""))
        self.push(_Name(ALLOWED_NAMES[module, name]))

    def reduce(self) -> None:
        """The result of a call of a placeholder, which is constructed here without a call."""
        called, given = self.last(2)
        if not isinstance(called, _Name) or not isinstance(given, tuple):
            _refuse("a call of a plain value")
        match called.name, given:
            case "dtype", (str() | bytes() as word, _, _):
                self.push(_integer_type(word))
            case "_reconstruct", (_Name("ndarray"), (0,), b"b"):
                self.push(_Array())
            case "scalar", (_Type() as kind, bytes() as content):
                self.push(_array(content, kind, (), "C").item())
            case "_frombuffer", (content, kind, shape, order, *rest) if not any(rest):
                self.push(_Array(_array(content, kind, shape, order)))
            case "encode", (str() as text, "latin1" | "latin-1"):
                self.push(self._encoded(text))
            case _:
                _refuse(f"a call of {called.name} with other arguments")

    def _encoded(self, text: str) -> bytes:
        self.to_encode -= len(text)
        if self.to_encode < 0:
            _refuse("one text as bytes again and again")
        return text.encode("latin-1")

    def build(self) -> None:
        """The state of a type or of an array."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Type | _Array):
            _refuse("a state for a plain value")
        self.stack[-1].build(state)

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        self.top(dict).update(_pairs(items))

    def set_last(self) -> None:
        pair = self.last(2)
        self.set_items(pair)

    def append_last(self) -> None:
        value = self.stack.pop()
        self.top(list).append(_plain(value))

    def extend(self) -> None:
        items = self.since_mark()
        self.top(list).extend(map(_plain, items))


def _integer_type(word: str | bytes) -> _Type:
    text = word.decode("latin-1") if isinstance(word, bytes) else word
    if text not in INTEGER_TYPES:
        _refuse(f"an array of type {text[:MAX_NAME_CHARACTERS]!r}")
    return _Type(text)


def _pairs(items: list[Any]) -> dict[str | bytes, Any]:
    """Raise `PickleError` unless keys are short text: other hashes may take very long, or collide."""
    keys, values = items[::2], items[1::2]
    if not all(isinstance(key, str | bytes) and len(key) <= MAX_KEY_CHARACTERS for key in keys):
        _refuse("a key that is not short text")
    return dict(zip(keys, map(_plain, values), strict=True))


def _latin(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


PLAIN_OPCODES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
)
ACTIONS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, argument: None),
    **dict.fromkeys(PLAIN_OPCODES, _Machine.push),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), lambda machine, text: machine.push(_latin(text))),
    "BYTEARRAY8": lambda machine, content: machine.push(bytes(content)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push([_plain(value) for value in machine.since_mark()]),
    "APPEND": lambda machine, _: machine.append_last(),
    "APPENDS": lambda machine, _: machine.extend(),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.push(_pairs(machine.since_mark())),
    "SETITEM": lambda machine, _: machine.set_last(),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.push(machine.memo[place])),
    "GLOBAL": lambda machine, names: machine.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.last(2)),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}
