"""Pickles, which PyTorch's files and many others are, read without running them.

Python's own module decodes the steps of a pickle (`pickletools`); here they are followed on a stack of plain values.
Names in a pickle are never looked up: a `Name` stays one, what it is called with becomes an inert `Thing`, and only a
few names, those of arrays and containers, are known by what is written here.
"""

import pickletools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

from spikemba.reading.arrays import shaped
from spikemba.reading.unreadable import NotRead, Unreadable

MAX_STEPS = 2_000_000
"""Of one pickle: a few seconds. Checkpoints of a thousand tensors have fifty thousand."""
MAX_COPIED = 4
"""Bytes that a pickle may have made from its texts, to its own."""


class Source(Protocol):
    """What a pickle is read from."""

    def read(self, n: int, /) -> bytes:
        """The next n bytes, or what is left."""
        ...

    def readline(self) -> bytes:
        """The next line."""
        ...

    def tell(self) -> int:
        """The place."""
        ...


@dataclass(frozen=True)
class Name:
    """A function or class that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def runs(self) -> bool:
        """Whether to call it would run a command or other code: no settings beside weights need that."""
        package = self.module.partition(".")[0]
        return package in _RUNNERS or (package in ("builtins", "__builtin__") and self.name in _RUNNING)


@dataclass(eq=False)
class Thing:
    """What a pickle would have made by calling a name; nothing was called."""

    name: Name
    state: Any = None
    """What it was to be filled with."""


@dataclass(eq=False)
class _ArrayType:
    """A type of numbers: its letter and size, and from its state the order of its bytes."""

    code: str
    order: str = "<"

    @property
    def text(self) -> str:
        return self.order + self.code


@dataclass(eq=False)
class _Array:
    """An array, empty until its state comes."""

    value: NDArray[Any] | None = None


Maker = Callable[..., Any]
"""Makes a value of a known name from its arguments; raises Unreadable, ValueError or TypeError."""


@dataclass
class PickleReader:
    """Reads pickles with some names known."""

    makers: Mapping[str, Maker] = field(default_factory=dict)
    """Dotted name -> what makes its value, besides those that are known here."""
    stored: Callable[[Any], Any] = field(default=lambda key: None)
    """Gives what lies outside of the pickle, by its key."""

    def read(self, source: Source, size: int) -> Any:
        """The value of the pickle that begins at the source's place; the source stands behind it then.

        size: bytes that the source holds. Raises Unreadable, also when there are too many steps.
        """
        try:
            return _Run(self, size).follow(source)
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError) as error:
            reason = " ".join(str(error).split())[:100] or type(error).__name__
            raise Unreadable(f"not a pickle that can be read ({reason})") from None


_RUNNERS = {"os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "runpy", "importlib", "ctypes", "pty", "code"}
_RUNNING = {"exec", "eval", "execfile", "compile", "open", "__import__"}


class _Mark:
    """Where a list of arguments begins on the stack."""


_MARK = _Mark()

_VALUES = re.compile(r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|(SHORT_)?(BIN)?(STRING|UNICODE|BYTES)8?|BYTEARRAY8")
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Run:
    """One pickle being followed."""

    def __init__(self, reader: PickleReader, size: int) -> None:
        self.reader, self.stack, self.memo = reader, list[Any](), dict[int, Any]()
        self.left = MAX_COPIED * size + (1 << 20)
        self.makers: dict[str, Maker] = {**_MAKERS, "_codecs.encode": self._encode, **reader.makers}

    def follow(self, source: Source) -> Any:
        for n, (step, argument, _) in enumerate(pickletools.genops(source)):  # type: ignore[arg-type]
            if n > MAX_STEPS:
                raise Unreadable(f"a pickle of more than {MAX_STEPS:,} steps")
            name = step.name
            if _VALUES.fullmatch(name):
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _TUPLES:
                self.stack.append(self._pop(_TUPLES[name]))
            elif name == "STOP":
                break
            elif name not in ("PROTO", "FRAME"):
                self._step(name, argument)
        value = self.stack.pop()
        return value.value if isinstance(value, _Array) else value

    def _step(self, name: str, argument: Any) -> None:
        action = getattr(self, f"_do_{name.lower()}", None)
        if action is None:
            raise Unreadable(f"a pickle with the step {name}, which no file of weights needs")
        action(argument)

    def _pop(self, n: int) -> tuple[Any, ...]:
        if n > len(self.stack):
            raise Unreadable("a pickle that takes what it did not give")
        found = tuple(self.stack[len(self.stack) - n :])
        del self.stack[len(self.stack) - n :]
        return found

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise Unreadable("a pickle that takes what it did not give")
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    # --- the stack and the memory

    def _do_mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _do_pop(self, _: Any) -> None:
        self._pop(1)

    def _do_pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _do_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _do_put(self, place: Any) -> None:
        self.memo[int(place)] = self.stack[-1]

    _do_binput = _do_long_binput = _do_put

    def _do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _do_get(self, place: Any) -> None:
        self.stack.append(self.memo[int(place)])

    _do_binget = _do_long_binget = _do_get

    # --- containers

    def _do_empty_list(self, _: Any) -> None:
        self.stack.append([])

    _do_empty_set = _do_empty_list

    def _do_list(self, _: Any) -> None:
        self.stack.append(self._since_mark())

    _do_frozenset = _do_list

    def _do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _do_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _do_dict(self, _: Any) -> None:
        self.stack.append(_filled({}, self._since_mark()))

    def _do_append(self, _: Any) -> None:
        self._extend(list(self._pop(1)))

    def _do_appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    _do_additems = _do_appends

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Thing):
            raise Unreadable("a pickle that appends to what is no list")

    def _do_setitem(self, _: Any) -> None:
        self._set(list(self._pop(2)))

    def _do_setitems(self, _: Any) -> None:
        self._set(self._since_mark())

    def _set(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            _filled(self.stack[-1], values)
        elif not isinstance(self.stack[-1], Thing):
            raise Unreadable("a pickle that sets items of what has none")

    # --- names and what they would make

    def _do_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(Name(module, name))

    def _do_stack_global(self, _: Any) -> None:
        module, name = self._pop(2)
        self.stack.append(Name(str(module), str(name)))

    def _do_reduce(self, _: Any) -> None:
        function, arguments = self._pop(2)
        self.stack.append(self._made(function, arguments))

    _do_newobj = _do_reduce

    def _do_newobj_ex(self, _: Any) -> None:
        kind, arguments, _ = self._pop(3)
        self.stack.append(self._made(kind, arguments))

    def _do_obj(self, _: Any) -> None:
        kind, *arguments = self._since_mark()
        self.stack.append(self._made(kind, tuple(arguments)))

    def _do_inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self._made(Name(module, name), tuple(self._since_mark())))

    def _made(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            return Thing(Name("", ""))
        if str(function) == _FROM_TYPE and len(arguments) > 2:  # a tensor with attributes: they are left out
            function, _, arguments = arguments[:3]
            return self._made(function, arguments) if str(function) != _FROM_TYPE else Thing(function)
        maker = self.makers.get(str(function))
        return Thing(function) if maker is None else maker(*arguments)

    def _do_build(self, _: Any) -> None:
        target, state = self.stack[-2:]
        if isinstance(target, Thing):
            target.state = state
        elif isinstance(target, _ArrayType) and isinstance(state, tuple):
            target.order = state[1] if state[1] in ("<", ">", "|", "=") else "<"
        elif isinstance(target, _Array) and isinstance(state, tuple):
            _, axes, kind, fortran, content = state
            target.value = _array(content, kind, axes, bool(fortran))
        self._pop(1)

    def _do_persid(self, argument: Any) -> None:
        self.stack.append(self.reader.stored(argument))

    def _do_binpersid(self, _: Any) -> None:
        self.stack.append(self.reader.stored(self._pop(1)[0]))

    def _encode(self, text: Any, encoding: Any = "utf-8") -> Any:
        """How protocol 2 writes bytes; the one function that makes more of what is there."""
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
            return Thing(Name("_codecs", "encode"))
        self.left -= len(text)
        if self.left < 0:
            raise Unreadable("a pickle that makes far more bytes than it has")
        return text.encode(encoding)


_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"


def _filled(target: dict[Any, Any], values: Sequence[Any]) -> dict[Any, Any]:
    """The dictionary with keys and values in turn; other keys than texts and numbers are left out: to look one up may
    take for ever."""
    for key, value in zip(values[::2], values[1::2], strict=True):
        plain = isinstance(key, (str, bytes, float, type(None))) or (isinstance(key, int) and key.bit_length() <= 64)
        if plain:
            target[key] = value.value if isinstance(value, _Array) else value
    return target


def _array(content: Any, kind: Any, axes: Any, fortran: bool) -> NDArray[Any]:
    if isinstance(content, str):  # a pickle of Python 2
        content = content.encode("latin1")
    if not isinstance(kind, _ArrayType) or not isinstance(axes, tuple) or not isinstance(content, (bytes, bytearray)):
        raise NotRead("an array of other things than numbers")
    if not all(type(n) is int for n in axes):
        raise Unreadable("an array whose shape is none")
    return shaped(memoryview(content), kind.text, axes, fortran=fortran)


def _scalar(kind: Any, content: Any = None) -> Any:
    number = _array(content, kind, (), False)
    return number.item()


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return _filled({}, [value for pair in pairs for value in (pair[0], pair[1])])


def _for_both(name: str, maker: Maker) -> dict[str, Maker]:
    """NumPy 2 moved its core."""
    return {f"numpy.{core}.{name}": maker for core in ("core", "_core")}


_MAKERS: dict[str, Maker] = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda *_: {},
    "torch.Size": lambda axes=(): tuple(axes),
    "numpy.dtype": lambda code, *_: _ArrayType(str(code).lstrip("<>|=")),
    **_for_both("multiarray._reconstruct", lambda *_: _Array()),
    **_for_both("multiarray.scalar", _scalar),
    **_for_both("numeric._frombuffer", lambda content, kind, axes, order: _array(content, kind, axes, order == "F")),
}
"""What arrays and containers are rebuilt with."""
