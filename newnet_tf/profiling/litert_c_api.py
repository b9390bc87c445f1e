"""LiteRT's C interface, as far as profiling needs it, through ctypes.

It is not promised to stay as it is. So nothing is assumed of it that is not checked: the layout of
events by their types and by what lies behind the last, every call by its status. Handles and what the
library fills in are opaque here. Meant for a process of its own, see `litert`.
"""

import ctypes
import importlib
import importlib.metadata
import os
from pathlib import Path

import numpy as np

PACKAGE, LIBRARY = "ai_edge_litert", "libLiteRt.so"
CPU, WRITE = 1, 1  # LiteRtHwAccelerators, LiteRtTensorBufferLockMode
OPERATOR, DELEGATED = 2, 8  # event types: an operator's builtin kernel, a kernel of a delegate
EVENT_TYPES = tuple(1 << bit for bit in range(9))
ROOM = 512  # bytes for what the library fills in, more than any known version needs
OPTIONS = {"runtime_options_string": "enable_profiling = true\n", "xnnpack": "num_threads = {}\n"}


def version() -> str:
    """Returns which LiteRT is installed."""
    return f"ai-edge-litert {importlib.metadata.version(PACKAGE)}"


class _Event(ctypes.Structure):
    """One event, as the library lays it out."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start", ctypes.c_uint64),
        ("microseconds", ctypes.c_uint64),
        ("memory", ctypes.c_uint64 * 6),
        ("index", ctypes.c_uint64),
        ("second_index", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class Profiled:
    """A file compiled with profiling on, its input filled.

    Handles are the library's own and live as long as the process.
    """

    def __init__(self, file: Path, threads: int, image: np.ndarray):
        self._library, self._kept = _library(), []
        environment = self._make("LiteRtCreateEnvironment", 0, None)
        model = self._make("LiteRtCreateModelFromFile", environment, os.fsencode(file))
        options = self._make("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        for name, text in OPTIONS.items():
            self._call("LiteRtAddOpaqueOptions", options, self._opaque(name, text.format(threads)))
        self._model = self._make("LiteRtCreateCompiledModel", environment, model, options)
        signature = self._make("LiteRtGetModelSignature", model, ctypes.c_size_t(0))
        image_buffer, scores = (
            self._buffer(environment, signature, end) for end in ("Input", "Output")
        )
        self._fill(image_buffer, image)
        self._ends = [(ctypes.c_void_p * 1)(buffer) for buffer in (image_buffer, scores)]
        self._profiler = self._make("LiteRtCompiledModelGetProfiler", self._model)

    def __call__(self) -> list[tuple[str, int, int, int]]:
        """Runs once; returns (name, event type, index, microseconds) of each kernel in order."""
        one, (images, scores) = ctypes.c_size_t(1), self._ends
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        self._call(
            "LiteRtRunCompiledModel", self._model, ctypes.c_size_t(0), one, images, one, scores
        )
        self._call("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        memory = ctypes.create_string_buffer(count.value * ROOM)
        self._call("LiteRtGetProfilerEvents", self._profiler, count, memory)
        events = (_Event * count.value).from_buffer(memory)
        beyond = memory.raw[ctypes.sizeof(events) :].strip(b"\0")
        if beyond or not all(event.type in EVENT_TYPES for event in events):
            raise RuntimeError(f"LiteRT's events must be laid out as in 2.3. Received: {version()}")
        return [
            (event.tag.decode(), event.type, event.index, event.microseconds)
            for event in events
            if event.type in (OPERATOR, DELEGATED)
        ]

    def _call(self, name: str, *arguments) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} must succeed. Received: status {status}, {version()}")

    def _make(self, name: str, *arguments) -> ctypes.c_void_p:
        """Calls a function that writes a handle through its last argument; returns the handle."""
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        return handle

    def _opaque(self, name: str, text: str) -> ctypes.c_void_p:
        payload = ctypes.create_string_buffer(text.encode())
        release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self._kept += [payload, release]
        return self._make("LiteRtCreateOpaqueOptions", name.encode(), payload, release)

    def _buffer(self, environment, signature, end: str) -> ctypes.c_void_p:
        first, kind = ctypes.c_size_t(0), ctypes.create_string_buffer(ROOM)
        tensor = self._make(f"LiteRtGetSignature{end}TensorByIndex", signature, first)
        self._call("LiteRtGetRankedTensorType", tensor, kind)
        needs = self._make(
            f"LiteRtGetCompiledModel{end}BufferRequirements", self._model, first, first
        )
        make = "LiteRtCreateManagedTensorBufferFromRequirements"
        return self._make(make, environment, kind, needs)

    def _fill(self, buffer, image: np.ndarray) -> None:
        size, address = ctypes.c_size_t(), ctypes.c_void_p()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != image.nbytes:
            raise RuntimeError(f"the input must be {image.nbytes} bytes. Received: {size.value}")
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), WRITE)
        ctypes.memmove(address, np.ascontiguousarray(image).ctypes.data, image.nbytes)
        self._call("LiteRtUnlockTensorBuffer", buffer)


def _library() -> ctypes.CDLL:
    try:
        folder = Path(importlib.import_module(PACKAGE).__file__).parent
        library = ctypes.CDLL(os.fspath(folder / LIBRARY))
        library.LiteRtGetProfilerEvents  # noqa: B018 asks whether it is there
    except (ImportError, OSError, AttributeError) as error:
        raise RuntimeError(
            "per-operator times need LiteRT's profiler: pip install 'ai-edge-litert==2.3.*'. "
            f"Received: {error}"
        ) from error
    return library
