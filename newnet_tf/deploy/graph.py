"""Edits of a converted TFLite file: what goes in, what comes out, and which weights are integers.

The converter writes one plain form, float32 in and float32 logits out. Whatever else a recipe asks
for (pixels or integers in, probabilities or integers out) is a few operators before and behind it,
chosen so that XNNPACK takes them into the same partition as the network. So the network inside is
the same in every file of one precision, and so are its figures.
"""

import numpy as np

from newnet_tf.lazy import LazyModule

flatbuffers = LazyModule("flatbuffers")
schema = LazyModule("tensorflow.lite.python.schema_py_generated")

DTYPES = {
    "float32": "FLOAT32",
    "int8": "INT8",
    "uint8": "UINT8",
    "int32": "INT32",
    "int64": "INT64",
}
ALIGNMENT = 16
UNSIGNED = 128  # what the zero point of uint8 has more than that of int8
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
        >>> graph.softmax()
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

    def pixels(self, scale, offset) -> None:
        """Makes the input uint8 pixels in 0-255 and normalises them as `pixel * scale + offset`.

        Where that is one factor and a whole-numbered zero point for all channels, the input
        tensor's own quantisation says it all; otherwise a MUL and an ADD in float32 follow. Either
        way the network sees what it would have seen of normalised floats.
        """
        image = self.body.inputs[0]
        zero = -np.divide(offset, scale)
        if np.ptp(scale) == 0 and np.ptp(zero) < 1e-6 and abs(zero[0] - round(zero[0])) < 1e-6:
            self._dequantise_input(scale[0], round(zero[0]))
            return
        shape = self.body.tensors[image].shape
        raw, scaled = (self.add_tensor(name, shape) for name in ("image_0_255", "image_scaled"))
        factor, summand = (self._row(v, shape[2]) for v in (scale, offset))
        self.insert(0, "ADD", [scaled, summand], image, "AddOptions")
        self.insert(0, "MUL", [raw, factor], scaled, "MulOptions")
        self._expose(self.body.inputs, self._signature.inputs, raw)
        self._dequantise_input(1.0, 0)

    def integer_input(self, dtype: str) -> None:
        """Makes the input `dtype`, `"int8"` or `"uint8"`, by the network's own quantisation."""
        first = self.body.operators[0]
        quantised = first.outputs[0]
        if self.name_of(first) != "QUANTIZE":
            raise ValueError(
                "the file must begin with QUANTIZE, as full-int8 files do. Received: "
                f"{self.name_of(first)}"
            )
        if dtype == "int8":
            del self.body.operators[0]
            self._expose(self.body.inputs, self._signature.inputs, quantised)
        else:
            scale, zero = self.quantisation(quantised)
            self._dequantise_input(scale, zero + UNSIGNED)

    def softmax(self) -> None:
        """Makes the output probabilities, computed in float32."""
        logits = self.body.outputs[0]
        probabilities = self.add_tensor("probabilities", self.body.tensors[logits].shape)
        options = self._append("SOFTMAX", logits, probabilities, "SoftmaxOptions")
        options.beta = 1.0

    def integer_output(self, dtype: str) -> None:
        """Makes the output `dtype`, `"int8"` or `"uint8"`, by the network's own quantisation."""
        last = self.body.operators[-1]
        if self.name_of(last) != "DEQUANTIZE":
            raise ValueError(
                "the file must end in DEQUANTIZE, as full-int8 files do. Received: "
                f"{self.name_of(last)}"
            )
        quantised = last.inputs[0]
        if dtype == "int8":
            del self.body.operators[-1]
            self._expose(self.body.outputs, self._signature.outputs, quantised)
            return
        scale, zero = self.quantisation(quantised)
        shape = self.body.tensors[quantised].shape
        integers = self.add_tensor("logits_uint8", shape, dtype, (scale, zero + UNSIGNED))
        self._append("QUANTIZE", self.body.outputs[0], integers, "QuantizeOptions")

    def float_depthwise(self) -> None:
        """Turns integer filters of depthwise convolutions on float maps back into float32.

        XNNPACK has no such mixed depthwise kernel: each would end a partition. They are few weights.
        """
        depthwise = [o for o in self.body.operators if self.name_of(o) == "DEPTHWISE_CONV_2D"]
        for operator in depthwise:
            image, filters = (self.body.tensors[i] for i in operator.inputs[:2])
            if image.type != self._type("float32") or filters.type != self._type("int8"):
                continue
            self.set_constant(operator.inputs[1], self.dequantised(operator.inputs[1]))
            filters.type, filters.quantization = self._type("float32"), None

    def integer_weights(self) -> None:
        """Stores filters of convolutions and dense layers as int8, each channel in its own steps.

        A DEQUANTIZE behind each gives them back; XNNPACK runs it once, when the file is loaded.
        Depthwise filters, few and the most harmed by rounding, stay float32.
        """
        for operator in list(self.body.operators):
            kind = self.name_of(operator)
            axis = CHANNEL_AXIS.get(kind) if kind != "DEPTHWISE_CONV_2D" else None
            floats = self.constant(operator.inputs[1]) if axis is not None else None
            if floats is None or floats.dtype != np.float32:
                continue
            filters = self.body.tensors[operator.inputs[1]]
            others = tuple(i for i in range(floats.ndim) if i != axis)
            largest = np.abs(floats).max(others, keepdims=True)
            scale = np.maximum(largest, np.finfo(np.float32).tiny * LARGEST) / np.float32(LARGEST)
            integers = np.round(floats / scale).astype(np.int8)
            steps = (scale.ravel(), np.zeros(scale.size, np.int64), axis)
            name = filters.name + b"_int8"
            stored = self.add_tensor(name, filters.shape, "int8", data=integers.tobytes())
            self._set_steps(self.body.tensors[stored], *steps)
            self._model.buffers[filters.buffer].data = None
            filters.buffer = 0
            place, given = self.place(operator), int(operator.inputs[1])
            self.insert(place, "DEQUANTIZE", [stored], given, "DequantizeOptions", version=2)

    def rename(self, image: str, scores: str) -> None:
        """Names input and output in the signature, so that a reader of the file knows them."""
        self._signature.inputs[0].name, self._signature.outputs[0].name = image, scores

    def attach(self, name: str, data: bytes) -> None:
        """Adds data that no operator reads, under a name, in place of what had that name."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self._model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(self._model.buffers) - 1
        others = [m for m in self._model.metadata or [] if m.name != name.encode()]
        self._model.metadata = [*others, entry]

    def name_of(self, operator) -> str:
        """Name of an operator's kind."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        if code.customCode:
            return f"CUSTOM {code.customCode.decode()}"
        return self._names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def version_of(self, operator) -> int:
        """Version of an operator's kind, which newer types of tensors raise."""
        return self._model.operatorCodes[operator.opcodeIndex].version

    def place(self, operator) -> int:
        """Place of an operator in the order of execution."""
        return next(i for i, other in enumerate(self.body.operators) if other is operator)

    def _type(self, dtype: str) -> int:
        return getattr(schema.TensorType, DTYPES[dtype])

    def quantisation(self, tensor: int) -> tuple[float, int]:
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

    def set_constant(self, tensor: int, values: np.ndarray) -> None:
        """Gives a constant other values, of the same type and shape."""
        buffer = self._model.buffers[self.body.tensors[tensor].buffer]
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)

    def dequantised(self, tensor: int) -> np.ndarray:
        """Values of a constant of symmetric integers, in float32."""
        found = self.body.tensors[tensor].quantization
        shape = np.ones(len(self.body.tensors[tensor].shape), int)
        shape[found.quantizedDimension] = len(found.scale)
        return self.constant(tensor) * np.float32(found.scale).reshape(shape)

    def add_tensor(self, name, shape, dtype="float32", quantisation=None, data=b"") -> int:
        """Adds a tensor, with a buffer of its own; returns its index."""
        buffer, tensor = schema.BufferT(), schema.TensorT()
        if data:
            buffer.data = np.frombuffer(data, np.uint8)
        self._model.buffers.append(buffer)
        tensor.name, tensor.shape, tensor.type = (
            name,
            np.asarray(shape, np.int32),
            self._type(dtype),
        )
        tensor.buffer = len(self._model.buffers) - 1
        if quantisation:
            scale, zero = quantisation
            self._set_steps(tensor, np.float32([scale]), np.int64([zero]), 0)
        self.body.tensors.append(tensor)
        return len(self.body.tensors) - 1

    @staticmethod
    def _set_steps(tensor, scale: np.ndarray, zero: np.ndarray, axis: int) -> None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scale, zero
        tensor.quantization.quantizedDimension = axis

    def add_like(self, tensor: int, name: str, shape) -> int:
        """Adds an empty tensor of another's type and quantisation; returns its index."""
        model = self.body.tensors[tensor]
        added = self.add_tensor(name, shape)
        self.body.tensors[added].type = model.type
        self.body.tensors[added].quantization = model.quantization
        return added

    def _row(self, values, width: int) -> int:
        """Adds a constant by channel, repeated for every pixel of a row: so XNNPACK is fast."""
        row = np.tile(np.asarray(values, "<f4"), (width, 1))
        return self.add_tensor("by_channel", row.shape, data=row.tobytes())

    def insert(
        self, place: int, name: str, inputs: list[int], output: int, options: str, version=1
    ):
        """Adds an operator at `place` in the order of execution; returns its options."""
        number = getattr(schema.BuiltinOperator, name)
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = number
        code.version = version
        self._model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.int32(inputs), np.int32([output])
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        self.body.operators.insert(place, operator)
        return operator.builtinOptions

    def _append(self, name: str, before: int, output: int, options: str):
        made = self.insert(len(self.body.operators), name, [before], output, options)
        self._expose(self.body.outputs, self._signature.outputs, output)
        return made

    def _dequantise_input(self, scale: float, zero: int) -> None:
        """Puts a uint8 input, and a DEQUANTIZE behind it, before the present float32 one."""
        floats = self.body.inputs[0]
        name, shape = self.body.tensors[floats].name, self.body.tensors[floats].shape
        integers = self.add_tensor(name, shape, "uint8", (scale, zero))
        self.body.tensors[floats].name = b"image_float32"
        self.insert(0, "DEQUANTIZE", [integers], floats, "DequantizeOptions")
        self._expose(self.body.inputs, self._signature.inputs, integers)

    @staticmethod
    def _expose(ends, signature, tensor: int) -> None:
        """Makes `tensor` the graph's and the signature's only input or output."""
        ends[0] = signature[0].tensorIndex = tensor
