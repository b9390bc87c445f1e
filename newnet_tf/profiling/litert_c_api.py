"""The part of LiteRT's C interface that profiling needs, through ctypes.

The interface may change with any release of LiteRT. Every call is checked by its status, and the
layout of profiler events by their types and by the bytes behind the last one. Handles, and the
structures that the library fills in, are opaque here. Use it in a separate process, as
`litert_profiler` does: a wrong layout may crash the interpreter.
"""

import ctypes
import importlib
import importlib.metadata
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

PACKAGE, LIBRARY = "ai_edge_litert", "libLiteRt.so"
CPU, WRITE = 1, 1  # LiteRtHwAccelerators, LiteRtTensorBufferLockMode
OPERATOR, DELEGATED = 2, 8  # event types: an operator's builtin kernel, a kernel of a delegate
MAIN_SUBGRAPH = 0
EVENT_TYPES = tuple(1 << bit for bit in range(9))
STRUCT_BYTES = 512  # memory for a structure that the library fills in; more than any version needs
LAYOUT_OFFSET = 4  # in a LiteRtRankedTensorType, behind the element type
LAYOUT_BYTES = 4 * (1 + 8 + 8)  # LiteRtLayout: rank and a flag, dimensions, strides
SIGNATURE = ctypes.c_size_t(0)  # the first signature of a model
OPTIONS = {"runtime_options_string": "enable_profiling = true\n", "xnnpack": "num_threads = {}\n"}


def version() -> str:
    """Returns the installed LiteRT and its version, such as `"ai-edge-litert 2.3.0"`."""
    return f"ai-edge-litert {importlib.metadata.version(PACKAGE)}"


class _Event(ctypes.Structure):
    """One profiler event, in the library's layout."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start", ctypes.c_uint64),
        ("microseconds", ctypes.c_uint64),
        ("memory", ctypes.c_uint64 * 6),
        ("index", ctypes.c_uint64),
        ("subgraph", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


class ProfiledModel:
    """A TFLite file compiled with profiling on, with its inputs filled.

    The library's handles live as long as the process.

    Args:
        file: path of the TFLite file.

        threads: int, number of threads of XNNPACK.

        inputs: mapping of the name of each input, in the file's first signature (a file without
            signatures: of the input tensor), to its array.

    Raises:
        RuntimeError: if a call of the library fails, or its layout is not that of version 2.3.
    """

    def __init__(self, file: Path, threads: int, inputs: Mapping[str, np.ndarray]):
        self._library, self._references = _library(), []
        self._environment = self._create("LiteRtCreateEnvironment", 0, None)
        model = self._create("LiteRtCreateModelFromFile", self._environment, os.fsencode(file))
        options = self._create("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        for name, text in OPTIONS.items():
            self._call("LiteRtAddOpaqueOptions", options, self._opaque(name, text.format(threads)))
        self._model = self._create("LiteRtCreateCompiledModel", self._environment, model, options)
        self._signature = self._create("LiteRtGetModelSignature", model, SIGNATURE)
        self._inputs = self._input_buffers(inputs)
        self._outputs = self._output_buffers()
        self._profiler = self._create("LiteRtCompiledModelGetProfiler", self._model)

    def __call__(self) -> list[tuple[str, int, int, int]]:
        """Runs once; returns (name, event type, index, microseconds) of each kernel, in order.

        Kernels in the body of a loop or condition are part of the operator that calls it.
        """
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        self._call(
            "LiteRtRunCompiledModel",
            self._model,
            SIGNATURE,
            ctypes.c_size_t(len(self._inputs)),
            self._inputs,
            ctypes.c_size_t(len(self._outputs)),
            self._outputs,
        )
        self._call("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        memory = ctypes.create_string_buffer(count.value * STRUCT_BYTES)
        self._call("LiteRtGetProfilerEvents", self._profiler, count, memory)
        events = (_Event * count.value).from_buffer(memory)
        rest = memory.raw[ctypes.sizeof(events) :].strip(b"\0")
        if rest or not all(event.type in EVENT_TYPES for event in events):
            raise RuntimeError(f"LiteRT's events must be laid out as in 2.3. Received: {version()}")
        return [
            (event.tag.decode(), event.type, event.index, event.microseconds)
            for event in events
            if event.type in (OPERATOR, DELEGATED) and event.subgraph == MAIN_SUBGRAPH
        ]

    def _call(self, name: str, *arguments) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} must succeed. Received: status {status}, {version()}")

    def _create(self, name: str, *arguments) -> ctypes.c_void_p:
        """Calls a function that writes a handle through its last argument; returns the handle."""
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        return handle

    def _count(self, name: str) -> int:
        count = ctypes.c_size_t()
        self._call(name, self._signature, ctypes.byref(count))
        return count.value

    def _opaque(self, name: str, text: str) -> ctypes.c_void_p:
        payload = ctypes.create_string_buffer(text.encode())
        release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self._references += [payload, release]
        return self._create("LiteRtCreateOpaqueOptions", name.encode(), payload, release)

    def _input_buffers(self, inputs: Mapping[str, np.ndarray]):
        """Returns a filled buffer for each input; a dynamic input takes the shape of its array."""
        names = []
        for index in range(self._count("LiteRtGetNumSignatureInputs")):
            name = ctypes.c_char_p()
            position = ctypes.c_size_t(index)
            self._call("LiteRtGetSignatureInputName", self._signature, position, ctypes.byref(name))
            names.append(name.value.decode())
        if sorted(names) != sorted(inputs):
            raise RuntimeError(
                f"inputs must be named as in the file's signature, {names}. "
                f"Received: {list(inputs)}, {version()}"
            )
        for index, name in enumerate(names):
            shape = (ctypes.c_int * inputs[name].ndim)(*inputs[name].shape)
            self._call(
                "LiteRtCompiledModelResizeInputTensorNonStrict",
                self._model,
                SIGNATURE,
                ctypes.c_size_t(index),
                shape,
                ctypes.c_size_t(len(shape)),
            )
        buffers = []
        for index, name in enumerate(names):
            layout = ctypes.create_string_buffer(STRUCT_BYTES)
            self._call(
                "LiteRtGetCompiledModelInputTensorLayout",
                self._model,
                SIGNATURE,
                ctypes.c_size_t(index),
                layout,
            )
            buffers.append(self._buffer("Input", index, layout.raw))
            self._fill(buffers[-1], inputs[name])
        return (ctypes.c_void_p * len(buffers))(*(buffer.value for buffer in buffers))

    def _output_buffers(self):
        count = self._count("LiteRtGetNumSignatureOutputs")
        layouts = ctypes.create_string_buffer(count * STRUCT_BYTES)
        self._call(
            "LiteRtGetCompiledModelOutputTensorLayouts",
            self._model,
            SIGNATURE,
            ctypes.c_size_t(count),
            layouts,
            ctypes.c_bool(True),
        )
        buffers = [
            self._buffer("Output", index, layouts.raw[index * LAYOUT_BYTES :])
            for index in range(count)
        ]
        return (ctypes.c_void_p * len(buffers))(*(buffer.value for buffer in buffers))

    def _buffer(self, end: str, index: int, layout: bytes) -> ctypes.c_void_p:
        """Creates the buffer of one input or output, for its shape in this compiled model."""
        position, kind = ctypes.c_size_t(index), ctypes.create_string_buffer(STRUCT_BYTES)
        tensor = self._create(f"LiteRtGetSignature{end}TensorByIndex", self._signature, position)
        self._call("LiteRtGetRankedTensorType", tensor, kind)
        kind[LAYOUT_OFFSET : LAYOUT_OFFSET + LAYOUT_BYTES] = layout[:LAYOUT_BYTES]
        requirements = self._create(
            f"LiteRtGetCompiledModel{end}BufferRequirements", self._model, SIGNATURE, position
        )
        name = "LiteRtCreateManagedTensorBufferFromRequirements"
        return self._create(name, self._environment, kind, requirements)

    def _fill(self, buffer, array: np.ndarray) -> None:
        size, address = ctypes.c_size_t(), ctypes.c_void_p()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        if size.value != array.nbytes:
            raise RuntimeError(f"an input must be {array.nbytes} bytes. Received: {size.value}")
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), WRITE)
        ctypes.memmove(address, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        self._call("LiteRtUnlockTensorBuffer", buffer)


def _library() -> ctypes.CDLL:
    try:
        folder = Path(importlib.import_module(PACKAGE).__file__).parent
        library = ctypes.CDLL(os.fspath(folder / LIBRARY))
        library.LiteRtGetProfilerEvents  # noqa: B018 raises AttributeError where it is missing
    except (ImportError, OSError, AttributeError) as error:
        raise RuntimeError(
            "per-operator times need LiteRT's profiler: pip install 'ai-edge-litert==2.3.*'. "
            f"Received: {error}"
        ) from error
    return library
