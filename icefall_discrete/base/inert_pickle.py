"""Unpickling that calls nothing: containers, numbers, and inert `Record`s of objects, within a budget.

A pickle is a program. The machine that runs it here knows plain containers and a few makers of data, which look at
their arguments; objects of a few named packages become a `Record` that only keeps what was pickled, and the package is
not imported; whatever else is named is refused before anything is called. What a pickle may build is bounded as well,
by what it reads and by a count of its steps, since a few bytes can ask for terabytes. Python's own unpickler in C is
not used, as it believes the lengths and the places in its memory that a pickle states.
"""

import collections
import functools
import pickle
import zipfile
from typing import (
    Any,
    BinaryIO,
    Callable,
    ClassVar,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NoReturn,
    Optional,
    Sequence,
    Set,
    Tuple,
)

# Steps that a pickle may take; calls, and what they copy, count for more. A checkpoint takes some hundred thousand.
MAX_STEPS = 2**23
_CALL_STEPS, _COPY_STEPS, _OBJECT_STEPS = 16, 8, 4
# Containers within containers. A shared one counts wherever it stands, up to so many items for each step of the pickle.
MAX_DEPTH = 100
_ITEMS_PER_STEP, _SMALL = 4, 10_000
# Larger keys could be made to collide, and a dictionary of them would take for ever.
_MAX_KEY = 2**60
# What libraries advise to set, so as to believe a file; it is never passed on.
_ADVICE_TO_TRUST = ("weights_only", "allow_pickle", "trust_remote_code", "max_header_size")
# Letters of a name, and of another library's message, that are shown.
_SHOWN, _SHOWN_MESSAGE = 200, 1000

Maker = Callable[..., Any]
# What an opcode does to its reader; the types of the standard library know the reader in C only.
Load = Callable[[Any], None]


class Named:
    """A class or function that a pickle names, and what stands for calling it, if it may be called."""

    __slots__ = ("make", "path")

    def __init__(self, path: str, make: Optional[Maker] = None) -> None:
        self.path = path
        self.make = make


class Record:
    """What was pickled of an object whose class is not imported: `path` of the class, `args`, `items` and `state`."""

    __slots__ = ("args", "items", "path", "state")

    def __init__(self, path: str, *args: Any) -> None:
        """Keep the arguments; `items` are the pairs of a mapping, or the members of a list or set."""
        self.path = path
        self.args = args
        self.items: List[Any] = []
        self.state: Any = None

    @property
    def attributes(self) -> Dict[str, Any]:
        """The pickled attributes, by name; those of slots among them."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            return {**state[0], **state[1]} if isinstance(state[0], dict) else state[1]
        return state if isinstance(state, dict) else {}


def shown(text: str, limit: int = _SHOWN) -> str:
    """Text out of a file, fit for a message: on one line, and not longer than `limit`."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text[: limit + 1])
    return line if len(line) <= limit else f"{line[:limit]}..."


def reason_of(error: Exception) -> str:
    """Why a file could not be read, as a part of a sentence."""
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it has containers too deep"
    says_it = (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError)
    text = str((error.strerror or error) if isinstance(error, OSError) else error).split("\n")[0]
    if any(word in text for word in _ADVICE_TO_TRUST):
        return "it holds more than data"
    if not text or not isinstance(error, says_it):
        return "it is damaged, or another kind of file"
    return shown(text, _SHOWN_MESSAGE)


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(what)


def _latin1(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 spells bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        _refuse("its bytes are not in encoding latin1")
    return text.encode("latin1")


def _ordered(pairs: Any = ()) -> Dict[Any, Any]:
    """An OrderedDict, empty, or with its items as Python 2 pickles it."""
    made: Dict[Any, Any] = collections.OrderedDict()
    if not isinstance(pairs, (list, tuple)):
        _refuse("it holds an OrderedDict of what are not pairs")
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            _refuse("it holds an OrderedDict of what are not pairs")
        made[_key(pair[0])] = pair[1]
    return made


def _default(factory: Any = None) -> Dict[Any, Any]:
    """A defaultdict, without what it would make for a key that it lacks."""
    return {} if factory is None or isinstance(factory, Named) else _refuse("it holds a defaultdict of a value")


def _members(items: Any = ()) -> Set[Any]:
    """How protocol 2 spells sets."""
    if not isinstance(items, (list, tuple)):
        _refuse("it holds a set of what is not a list")
    return {_key(item) for item in items}


def _empty_bytes() -> bytes:
    return b""


def _complex(real: Any, imag: Any) -> complex:
    if not isinstance(real, float) or not isinstance(imag, float):
        _refuse("it holds a complex number that is not two floats")
    return complex(real, imag)


def _reconstruct(cls: Any, base: Any, state: Any) -> Record:
    """How protocols 0 and 1 make an object of a Python class."""
    made = cls.make() if isinstance(cls, Named) and cls.make is not None else None
    if not isinstance(made, Record) or not isinstance(base, Named) or not base.path.endswith(".object"):
        _refuse("it makes an object of a class that is none")
    return made


def _alias(origin: Any, items: Any) -> Named:
    """How types such as Dict[str, Any] are pickled, which omegaconf keeps; what is inside the brackets is let go."""
    return origin if isinstance(origin, Named) else _refuse("it takes an item of a value")


# Types that settings mention; they are not called, since a number can ask them for any amount of memory.
_MENTIONED = ("bool", "bytearray", "complex", "dict", "float", "int", "list", "long", "object", "range", "slice", "str")
_MAKERS: Dict[str, Maker] = {
    **{f"{module}._reconstructor": _reconstruct for module in ("copyreg", "copy_reg")},
    **{f"{module}.getitem": _alias for module in ("_operator", "operator")},
    "_codecs.encode": _latin1,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _default,
}
for _module in ("builtins", "__builtin__"):
    _MAKERS.update({f"{_module}.set": _members, f"{_module}.bytes": _empty_bytes, f"{_module}.complex": _complex})
    _MAKERS[f"{_module}.frozenset"] = lambda items=(): frozenset(_members(items))
_VALUES = {f"{module}.{name}" for module in ("builtins", "__builtin__") for name in (*_MENTIONED, "tuple", "unicode")}


def _key(value: Any) -> Any:
    """`value` as a key of a dictionary or member of a set: nothing whose hash or comparison could take for ever."""
    for part in value if isinstance(value, tuple) else (value,):
        plain = part is None or isinstance(part, (str, bytes, float, complex, Named, Record))
        if not plain and not (isinstance(part, int) and -_MAX_KEY < part < _MAX_KEY):
            _refuse(f"it has a key of type {type(part).__name__}, expected a name or a small number")
    return value


class ClassFilter:
    """Decides what a name in a pickle stands for."""

    def __init__(self, records: Sequence[str], known: Optional[Mapping[str, Any]] = None) -> None:
        """Allow plain containers, what is `known` by its dotted path, and records of `records`.

        Args:
          records: packages or modules, with all that is in them.
        """
        self._known: Dict[str, Any] = dict(known or {})
        self._records = tuple(records)

    def find(self, module: str, name: str) -> Any:
        """Return what stands for `module`.`name`; UnpicklingError, naming it, if it is not allowed."""
        path = f"{module}.{name}"
        if path in self._known:
            return self._known[path]
        if path in _MAKERS or path in _VALUES:
            return Named(path, _MAKERS.get(path))
        if not any(module == package or module.startswith(f"{package}.") for package in self._records):
            _refuse(f"it names {shown(path)}, which is neither data nor settings")
        return self._known.setdefault(path, Named(path, functools.partial(Record, path)))


class BoundedStream:
    """The next `left` bytes of a stream; reading beyond them is an EOFError, and takes no memory before it is one."""

    def __init__(self, stream: BinaryIO, left: int) -> None:
        self._stream = stream
        self._left = left

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if not 0 <= size <= self._left:
            raise EOFError(f"it is cut short: {size} bytes are announced, and {self._left} follow")
        data = self._stream.read(size)
        if len(data) != size:
            raise EOFError("it is cut short")
        self._left -= size
        return data

    def readline(self) -> bytes:
        """Up to the end of the line, which must be there."""
        line = self._stream.readline(self._left)
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise EOFError("it is cut short")
        return line


def _pairs(items: Sequence[Any]) -> Iterator[Tuple[Any, Any]]:
    if len(items) % 2:
        _refuse("it has a key without a value")
    return ((_key(items[i]), items[i + 1]) for i in range(0, len(items), 2))


class InertUnpickler(pickle._Unpickler):
    """Reads one pickle of `source`; `names` decides about its names. A subclass may say what a persistent id is."""

    dispatch: ClassVar[Dict[int, Load]] = {}
    # What Python's own unpickler has.
    stack: List[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], List[Any]]
    readline: Callable[[], bytes]

    def __init__(self, source: BoundedStream, names: ClassFilter, encoding: str = "utf-8") -> None:
        super().__init__(source, encoding=encoding)
        self.source = source
        self.steps = 0
        self._names = names

    def load(self) -> Any:
        """The pickled value; UnpicklingError, EOFError and ValueError say what is wrong with it."""
        value = super().load()
        check_tree(value, _ITEMS_PER_STEP * self.steps + _SMALL)
        return value

    def find_class(self, module: str, name: str) -> Any:
        """See ClassFilter."""
        return self._names.find(module, name)

    def spend(self, steps: int) -> None:
        """Count steps."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            _refuse("it would build more than any checkpoint holds")

    def _call(self, function: Any, args: Any) -> Any:
        """What calling stands for; what it may copy is counted, as it can be called with the same again."""
        if not isinstance(function, Named) or function.make is None:
            what = shown(function.path) if isinstance(function, Named) else "a value"
            _refuse(f"it calls {what}, which makes no data")
        if not isinstance(args, tuple):
            _refuse("it calls something without arguments")
        sized = (arg for arg in args if isinstance(arg, (str, bytes, list, tuple, dict, set, frozenset)))
        self.spend(_CALL_STEPS + len(args) + _COPY_STEPS * sum(len(arg) for arg in sized))
        try:
            return function.make(*args)
        except TypeError:
            _refuse(f"it calls {shown(function.path)} with what no file gives to it")

    def load_reduce(self) -> None:
        """Function and arguments become what they make."""
        args, function = self.stack.pop(), self.stack.pop()
        self.append(self._call(function, args))

    def load_newobj_ex(self) -> None:
        """The same, with arguments by name, which are kept as one more."""
        named, args, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.append(self._call(cls, (*args, named) if named else args))

    def load_inst(self) -> None:
        """The same as protocol 0 spells it."""
        module, name = (self.readline()[:-1].decode("ascii") for _ in range(2))
        self.append(self._call(self.find_class(module, name), tuple(self.pop_mark())))

    def load_obj(self) -> None:
        """The same as protocol 1 spells it."""
        cls, *args = self.pop_mark()
        self.append(self._call(cls, tuple(args)))

    def load_build(self) -> None:
        """Give an object its state. Of OrderedDicts only the versions of a state dict's modules are kept."""
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, Record):
            made.state = state
        elif not isinstance(made, collections.OrderedDict) or not isinstance(state, dict):
            _refuse("it gives a state to what has none")
        elif isinstance(state.get("_metadata"), dict) and all(isinstance(v, dict) for v in state["_metadata"].values()):
            vars(made)["_metadata"] = state["_metadata"]

    def load_dict(self) -> None:
        """Keys and values up to the mark become a dictionary."""
        self.append(dict(_pairs(self.pop_mark())))

    def load_setitem(self) -> None:
        """One key and value are put into what is below them."""
        self._put([self.stack.pop(-2), self.stack.pop()])

    def load_setitems(self) -> None:
        """Keys and values up to the mark are put into what is below it."""
        self._put(self.pop_mark())

    def _put(self, items: List[Any]) -> None:
        made = self.stack[-1]
        if isinstance(made, dict):
            made.update(_pairs(items))
        else:
            self._extend(list(_pairs(items)), Record)

    def load_append(self) -> None:
        """One item is put behind those of the list below it."""
        self._extend([self.stack.pop()], (list, Record))

    def load_appends(self) -> None:
        """Items up to the mark are put behind those of the list below it."""
        self._extend(self.pop_mark(), (list, Record))

    def load_additems(self) -> None:
        """Items up to the mark are put into the set below it."""
        items = [_key(item) for item in self.pop_mark()]
        if isinstance(self.stack[-1], set):
            self.stack[-1].update(items)
        else:
            self._extend(items, Record)

    def _extend(self, items: List[Any], kinds: Any) -> None:
        made = self.stack[-1]
        if not isinstance(made, kinds):
            _refuse(f"it puts items into a {type(made).__name__}")
        (made.items if isinstance(made, Record) else made).extend(items)

    def load_frozenset(self) -> None:
        """Items up to the mark become a frozenset."""
        self.append(frozenset([_key(item) for item in self.pop_mark()]))


def _counted(load: Load, steps: int) -> Load:
    def run(reader: InertUnpickler) -> None:
        reader.spend(steps)
        load(reader)

    return run


# Persistent ids as text, extension codes, and buffers outside of the pickle are not among them: no file has those.
_OPCODES = (
    *("APPEND", "APPENDS", "BINBYTES", "BINBYTES8", "BINFLOAT", "BINGET", "BININT", "BININT1", "BININT2", "BINPERSID"),
    *("BINPUT", "BINSTRING", "BINUNICODE", "BINUNICODE8", "BUILD", "DICT", "DUP", "EMPTY_DICT", "EMPTY_LIST"),
    *("EMPTY_SET", "EMPTY_TUPLE", "FLOAT", "FRAME", "FROZENSET", "GET", "GLOBAL", "INST", "INT", "LIST", "LONG"),
    *("LONG1", "LONG4", "LONG_BINGET", "LONG_BINPUT", "MARK", "MEMOIZE", "NEWFALSE", "NEWOBJ", "NEWOBJ_EX", "NEWTRUE"),
    *("NONE", "OBJ", "POP", "POP_MARK", "PROTO", "PUT", "REDUCE", "SETITEM", "SETITEMS", "ADDITEMS"),
    *("SHORT_BINBYTES", "SHORT_BINSTRING", "SHORT_BINUNICODE", "STACK_GLOBAL", "STOP", "STRING", "TUPLE", "TUPLE1"),
    *("TUPLE2", "TUPLE3", "UNICODE"),
)
_OWN: Dict[str, Load] = {
    "NEWOBJ": InertUnpickler.load_reduce,
    **{
        name: getattr(InertUnpickler, f"load_{name.lower()}")
        for name in ("REDUCE", "NEWOBJ_EX", "INST", "OBJ", "BUILD", "DICT", "SETITEM", "SETITEMS", "APPEND", "APPENDS")
    },
    "ADDITEMS": InertUnpickler.load_additems,
    "FROZENSET": InertUnpickler.load_frozenset,
}
for _name in _OPCODES:
    _code = getattr(pickle, _name)[0]
    _load = _OWN.get(_name, pickle._Unpickler.dispatch[_code])
    InertUnpickler.dispatch[_code] = _counted(_load, _OBJECT_STEPS if _name.startswith("EMPTY_") else 1)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, (list, tuple, set, frozenset)) else ()


def check_tree(value: Any, limit: int, inside: Callable[[Any], Iterable[Any]] = _inside) -> None:
    """Refuse containers that hold themselves, are too deep, or have more than `limit` items with shared ones repeated.

    Whoever walks through them afterwards, one call for each, is then safe.

    Args:
      inside: the parts of a value; by default those of containers, and records have none.
    """
    sizes: Dict[int, int] = {}
    path: List[Tuple[Any, Iterator[Any], int]] = [(value, iter(inside(value)), 1)]
    open_ids = {id(value)}
    while path:
        holder, rest, size = path.pop()
        for part in rest:
            known = sizes.get(id(part))
            if id(part) in open_ids:
                _refuse("it holds a container that holds itself")
            if known is None and (parts := inside(part)):
                if len(path) >= MAX_DEPTH:
                    _refuse(f"it has containers more than {MAX_DEPTH} deep")
                path.append((holder, rest, size))
                path.append((part, iter(parts), 1))
                open_ids.add(id(part))
                break
            size += known or 1
        else:
            if size > limit:
                _refuse("it repeats shared containers too often")
            sizes[id(holder)] = size
            open_ids.discard(id(holder))
            if path:
                parent, others, so_far = path.pop()
                path.append((parent, others, so_far + size))
