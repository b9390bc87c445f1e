"""Reads a pickle of PyTorch's into plain containers and records of tensors; nothing in it is executed.

A pickle is a program for a stack machine. This machine knows only the instructions that build
containers; what the names in the file mean is said by `names`. It does not recurse, makes no
copies that the file pays no bytes for, and takes no keys but text, numbers and None, so that a small
file cannot keep it busy or fill the memory.
"""

import io
import pickle
import pickletools
from collections.abc import Callable

from newnet_tf.weights.pytorch.names import FUNCTIONS, STORAGES, Name, Object, Storage, name_of

MAX_INSTRUCTIONS = 3 * 10**6  # a file of 10,000 tensors has 400,000


def load(file: io.BytesIO) -> tuple[object, dict[str, Storage]]:
    """Reads the next pickle in `file`.

    Args:
        file: `io.BytesIO`; afterwards it stands behind the pickle.

    Returns:
        (value, {key: `Storage`}). The value consists of dict, list, tuple, numbers, text, `View`,
        `Storage`, `Name` and `Object`. Sets are lists.

    Raises:
        pickle.UnpicklingError: for what a file of tensors does not need.
        Exception: of any type, for a damaged file.
    """
    machine = _Machine(len(file.getbuffer()) - file.tell())
    for count, (instruction, argument, position) in enumerate(pickletools.genops(file)):
        execute = INSTRUCTIONS.get(instruction.name)
        if execute is None:
            raise pickle.UnpicklingError(
                f"its pickle has the instruction {instruction.name} at byte {position}, "
                "which a file of tensors does not need and this reader does not allow"
            )
        if count > MAX_INSTRUCTIONS:
            raise pickle.UnpicklingError(f"its pickle has over {MAX_INSTRUCTIONS:,} instructions")
        execute(machine, argument)
    return machine.pop(), machine.storages


class _Machine:
    def __init__(self, size: int):
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.storages: dict[str, Storage] = {}
        self.size = self.copies_left = size

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        return self.stack.pop()

    def mark(self, _):
        self.marks.append(len(self.stack))

    def pop_mark(self, _=None) -> list:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_or_mark(self, _):
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def put(self, argument):
        index = len(self.memo) if argument is None else int(argument)
        if index > self.size:
            raise pickle.UnpicklingError("its pickle declares more values than the file can hold")
        self.memo[index] = self.stack[-1]

    def get(self, argument):
        self.push(self.memo[int(argument)])

    def put_items(self, items: list):
        target = self.stack[-1]
        entries = target.entries if isinstance(target, Object) else target
        if not isinstance(entries, dict) or len(items) % 2:
            raise pickle.UnpicklingError("it sets items of something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | None):
                problem = f"it has a dictionary whose key is a {type(key).__name__}"
                raise pickle.UnpicklingError(f"{problem}; names and numbers are expected")
            entries[key] = value

    def add_items(self, items: list):
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(
            target, Object
        ):  # a list of a class of its own: its items are no tensors
            raise pickle.UnpicklingError("it appends to something that is no list")

    def new_dict(self, _):
        items = self.pop_mark()
        self.push({})
        self.put_items(items)

    def set_item(self, _):
        value, key = self.pop(), self.pop()
        self.put_items([key, value])

    def take_tuple(self, count: int):
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        if len(items) != count:
            raise pickle.UnpicklingError("its pickle takes more values than there are")
        self.push(tuple(items))

    def name(self, text: str):
        module, _, name = text.partition(" ")
        self.push(name_of(module, name))

    def stacked_name(self, _):
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise pickle.UnpicklingError("it has a name that is no text")
        self.push(name_of(module, name))

    def call(self, _):
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("it calls something that has no name")
        if function.name in STORAGES:
            raise pickle.UnpicklingError(f"{function.name} is not a function")
        known = FUNCTIONS.get(function.name)
        self.push(known(self, *arguments) if known else Object(function.name))

    def call_with_names(self, _):
        self.pop()  # the arguments by name, which no tensor has
        self.call(None)

    def build(self, _):
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Object):
            target.state = state
        elif not isinstance(target, dict):  # what PyTorch hangs on a state dict is left out
            raise pickle.UnpicklingError("it sets the state of something that has none")

    def storage(self, _):
        pid = self.pop()
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            self.push(pid[1])  # before PyTorch 1.6: a class with its source, which is not read
            return
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise pickle.UnpicklingError("it refers to something that is not a storage of numbers")
        kind, key, numel = pid[1], pid[2], pid[4]
        dtype = STORAGES.get(kind.name) if isinstance(kind, Name) else None
        whole = type(numel) is int and numel >= 0 and type(key) in (str, int)
        if dtype is None or not whole or (len(pid) == 6 and pid[5] is not None):
            known = f" ({kind.name})" if isinstance(kind, Name) else ""
            known += "; quantized models are not read" if "torch.Q" in known else ""
            problem = f"it refers to something that is not a storage of numbers{known}"
            raise pickle.UnpicklingError(problem)
        storage = Storage(dtype, str(key), numel)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise pickle.UnpicklingError(f"it describes storage {storage.key!r} in two ways")
        self.push(storage)

    def copy(self, items):
        """Returns `items`, a list or tuple that may be copied; all copies are at most the file."""
        if not isinstance(items, list | tuple):
            raise pickle.UnpicklingError("it copies something that is no list")
        self.copies_left -= len(items)
        if self.copies_left < 0:
            raise pickle.UnpicklingError("its pickle declares more values than the file can hold")
        return items


PUSHING = """
    INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
"""
INSTRUCTIONS: dict[str, Callable] = dict.fromkeys(PUSHING.split(), _Machine.push) | {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "DICT": _Machine.new_dict,
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "FROZENSET": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.take_tuple(1),
    "TUPLE2": lambda machine, _: machine.take_tuple(2),
    "TUPLE3": lambda machine, _: machine.take_tuple(3),
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.put_items(machine.pop_mark()),
    "APPEND": lambda machine, _: machine.add_items([machine.pop()]),
    "APPENDS": lambda machine, _: machine.add_items(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.pop_mark()),
    "MARK": _Machine.mark,
    "POP": _Machine.pop_or_mark,
    "POP_MARK": _Machine.pop_mark,
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
}
