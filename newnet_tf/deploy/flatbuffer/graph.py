"""A TFLite file in memory: its operators, tensors and constants, to be read and changed."""

import numpy as np

from newnet_tf.utils.lazy import LazyModule

flatbuffers = LazyModule("flatbuffers")
schema = LazyModule("tensorflow.lite.python.schema_py_generated")

DTYPES = {
    "float32": "FLOAT32",
    "int8": "INT8",
    "uint8": "UINT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
}
ALIGNMENT = 16
PLACEHOLDER = 127  # what the old one-byte code of a newer operator holds
LARGEST = 127  # int8 weights lie between this and its negative
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # of filters


class Graph:
    """A TFLite file in memory, with one subgraph and one signature.

    Args:
        data: bytes, the file.

    Attributes:
        body: the subgraph's record, with `operators` and `tensors`.

    Example:
        >>> graph = Graph(data)
        >>> ends.softmax(graph)
        >>> path.write_bytes(graph.to_bytes())
    """

    def __init__(self, data: bytes):
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(data), 0))
        for buffer in self._model.buffers:
            if buffer.offset:  # litert-quantizer lays large constants behind the tables
                outside = data[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(outside, np.uint8), 0, 0
        if len(self._model.subgraphs) != 1 or len(self._model.signatureDefs) != 1:
            raise ValueError(
                "`data` must be a TFLite file of one subgraph and one signature. Received: "
                f"{len(self._model.subgraphs)} and {len(self._model.signatureDefs)}"
            )
        self.body = self._model.subgraphs[0]
        self._signature = self._model.signatureDefs[0]
        self._names = {v: k for k, v in vars(schema.BuiltinOperator).items() if k.isupper()}

    @property
    def operators(self) -> list[str]:
        """Names of all operators in order; a custom one (Flex too) is `CUSTOM <its name>`."""
        return [self.name_of(operator) for operator in self.body.operators]

    def to_bytes(self) -> bytes:
        """Returns the file; constants lie at multiples of 16 bytes, as its schema asks."""

        class Builder(flatbuffers.Builder):
            def StartVector(self, elemSize, numElems, alignment):
                return super().StartVector(
                    elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment
                )

        builder = Builder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def set_input(self, tensor: int) -> None:
        """Makes a tensor the graph's and the signature's only input."""
        self.body.inputs[0] = self._signature.inputs[0].tensorIndex = tensor

    def set_output(self, tensor: int) -> None:
        """Makes a tensor the graph's and the signature's only output."""
        self.body.outputs[0] = self._signature.outputs[0].tensorIndex = tensor

    def rename(self, image: str, scores: str) -> None:
        """Names input and output in the signature, so that a reader of the file knows them."""
        self._signature.inputs[0].name, self._signature.outputs[0].name = image, scores

    def attach(self, name: str, data: bytes) -> None:
        """Adds data that no operator reads, under a name, in place of what had that name."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, self._add_buffer(data)
        others = [m for m in self._model.metadata or [] if m.name != name.encode()]
        self._model.metadata = [*others, entry]

    def name_of(self, operator) -> str:
        """Name of an operator's kind."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        if code.customCode:
            return f"CUSTOM {code.customCode.decode()}"
        return self._names[self._number(code)]

    def version_of(self, operator) -> int:
        """Version of an operator's kind, which newer types of tensors raise."""
        return self._model.operatorCodes[operator.opcodeIndex].version

    def set_version(self, operator, version: int) -> None:
        """Gives an operator another version of its kind."""
        operator.opcodeIndex = self._code(self.name_of(operator), version)

    def _code(self, name: str, version: int) -> int:
        """Index of a builtin operator's kind and version, which is added if the file lacks it."""
        number = getattr(schema.BuiltinOperator, name)
        codes = self._model.operatorCodes
        for index, code in enumerate(codes):
            if (self._number(code), code.version) == (number, version):
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.version = number, version
        code.deprecatedBuiltinCode = min(number, PLACEHOLDER)
        codes.append(code)
        return len(codes) - 1

    @staticmethod
    def _number(code) -> int:
        """Number of a builtin kind; files of old converters have it in the one-byte field alone."""
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def place(self, operator) -> int:
        """Place of an operator in the order of execution."""
        return next(i for i, other in enumerate(self.body.operators) if other is operator)

    def tail_tensors(self) -> list[int]:
        """The output and the maps before it, the last first, down to the last filters' sums."""
        made = {int(o.outputs[0]): o for o in self.body.operators}
        found = [int(self.body.outputs[0])]
        while (operator := made.get(found[-1])) and self.name_of(operator) not in CHANNEL_AXIS:
            found.append(int(operator.inputs[0]))
        return found

    def _type(self, dtype: str) -> int:
        return getattr(schema.TensorType, DTYPES[dtype])

    def quantization(self, tensor: int) -> tuple[float, int]:
        """Scale and zero point of an integer tensor."""
        found = self.body.tensors[tensor].quantization
        return float(found.scale[0]), int(found.zeroPoint[0])

    def constant(self, tensor: int) -> np.ndarray | None:
        """Values of a constant, float32 or integers; None for a tensor that is computed."""
        found = self.body.tensors[tensor]
        data = self._model.buffers[found.buffer].data
        if data is None or not len(data):
            return None
        names = {self._type(dtype): dtype for dtype in DTYPES}
        return np.frombuffer(data.tobytes(), names[found.type]).reshape(found.shape)

    def set_constant(self, tensor: int, values: np.ndarray, steps=None) -> None:
        """Gives a constant other values of the same shape, and their type; no other tensor changes.

        Args:
            tensor: int. values: float32 or integer array.
            steps: (scales, zero point, axis) of integers. Default: those that it has, none for floats
                in place of integers.
        """
        found, kind = self.body.tensors[tensor], self._type(values.dtype.name)
        before, found.buffer = found.buffer, self._add_buffer(values.tobytes())
        if all(other.buffer != before for other in self.body.tensors):
            self._model.buffers[before].data = None
        if steps is not None:
            scales, zero, axis = steps
            self._set_steps(found, scales, np.full(scales.size, zero, np.int64), axis)
        elif kind != found.type:
            found.quantization = None
        found.type = kind

    def is_integer(self, tensor: int, dtype: str = "int8") -> bool:
        """Whether a tensor, constant or computed, is of an integer type."""
        return self.body.tensors[tensor].type == self._type(dtype)

    def dequantized(self, tensor: int) -> np.ndarray:
        """Values of a constant of symmetric integers, in float32."""
        found = self.body.tensors[tensor].quantization
        shape = np.ones(len(self.body.tensors[tensor].shape), int)
        shape[found.quantizedDimension] = len(found.scale)
        return self.constant(tensor) * np.float32(found.scale).reshape(shape)

    def add_tensor(self, name, shape, dtype="float32", quantization=None, data=b"") -> int:
        """Adds a tensor, with a buffer of its own; returns its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = (
            name,
            np.asarray(shape, np.int32),
            self._type(dtype),
        )
        tensor.buffer = self._add_buffer(data)
        if quantization:
            scale, zero = quantization
            self._set_steps(tensor, np.float32([scale]), np.int64([zero]), 0)
        self.body.tensors.append(tensor)
        return len(self.body.tensors) - 1

    @staticmethod
    def _set_steps(tensor, scale: np.ndarray, zero: np.ndarray, axis: int) -> None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scale, zero
        tensor.quantization.quantizedDimension = axis

    def _add_buffer(self, data: bytes) -> int:
        """Adds a buffer, of a computed tensor without data; returns its index."""
        buffer = schema.BufferT()
        if data:
            buffer.data = np.frombuffer(data, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def add_like(self, tensor: int, name: str, shape) -> int:
        """Adds an empty tensor of another's type and quantization; returns its index."""
        model = self.body.tensors[tensor]
        added = self.add_tensor(name, shape)
        self.body.tensors[added].type = model.type
        self.body.tensors[added].quantization = model.quantization
        return added

    def add_copy(self, tensor: int) -> int:
        """Adds a constant of its own with another's values; returns its index."""
        found = self.body.tensors[tensor]
        added = self.add_like(tensor, found.name, found.shape)
        self.set_constant(added, self.constant(tensor))
        return added

    def insert(
        self, place: int, name: str, inputs: list[int], output: int, options: str, version=1
    ):
        """Adds an operator at `place` in the order of execution; returns its options."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(name, version)
        operator.inputs, operator.outputs = np.int32(inputs), np.int32([output])
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        self.body.operators.insert(place, operator)
        return operator.builtinOptions
