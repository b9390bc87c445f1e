"""A TFLite file in memory: its operators, tensors and constants, to be read and changed."""

from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.deploy.flatbuffer.tensors import Tensors
from newnet_tf.utils.lazy import LazyModule

flatbuffers = LazyModule("flatbuffers")
schema = LazyModule("tensorflow.lite.python.schema_py_generated")

ALIGNMENT = 16
PLACEHOLDER = 127  # what the old one-byte code of a newer operator holds
LARGEST = 127  # int8 weights lie between this and its negative
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # of kernels


class Graph(Tensors):
    """A TFLite file in memory, with one subgraph and one signature.

    Args:
        data: bytes, the file.

    Attributes:
        body: the subgraph as the schema's class, with `operators`, `tensors`, `inputs`, `outputs`.

    Raises:
        ValueError: for a file of several subgraphs or signatures.

    Example:
        >>> graph = Graph(data)
        >>> path.write_bytes(graph.to_bytes())
    """

    def __init__(self, data: bytes):
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(data), 0))
        for buffer in self._model.buffers:
            if buffer.offset:  # litert-quantizer lays large constants behind the tables
                constant = data[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(constant, np.uint8), 0, 0
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
        """Returns the file; constants lie at multiples of 16 bytes, as the schema requires."""

        class Builder(flatbuffers.Builder):
            def StartVector(self, elemSize, numElems, alignment):
                return super().StartVector(
                    elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment
                )

        builder = Builder(1024)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def replace_input(self, old: int, new: int) -> None:
        """Makes a tensor an input of the graph and of the signature, in place of another."""
        _replace(self.body.inputs, self._signature.inputs, old, new)

    def replace_output(self, old: int, new: int) -> None:
        """Makes a tensor an output of the graph and of the signature, in place of another."""
        _replace(self.body.outputs, self._signature.outputs, old, new)

    def rename(self, image: str, output: str | None = None) -> None:
        """Names the input, and the only output, in the signature; None: outputs keep their names."""
        self._signature.inputs[0].name = image
        if output is not None:
            self._signature.outputs[0].name = output

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs in the signature, in the graph's order."""
        names = {tensor.tensorIndex: tensor.name for tensor in self._signature.outputs}
        return [_text(names[int(tensor)]) for tensor in self.body.outputs]

    def attach(self, name: str, data: bytes) -> None:
        """Adds metadata, which no operator reads, in place of metadata of the same name."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, self._add_buffer(data)
        others = [m for m in self._model.metadata or [] if m.name != name.encode()]
        self._model.metadata = [*others, entry]

    def name_of(self, operator) -> str:
        """Returns the name of an operator's type."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        if code.customCode:
            return f"CUSTOM {_text(code.customCode)}"
        return self._names[self._number(code)]

    def version_of(self, operator) -> int:
        """Returns the version of an operator."""
        return self._model.operatorCodes[operator.opcodeIndex].version

    def set_version(self, operator, version: int) -> None:
        """Gives an operator another version."""
        operator.opcodeIndex = self._code(self.name_of(operator), version)

    def make_convolution(self, operator, padding: int) -> None:
        """Makes a FULLY_CONNECTED, whose tensors fit already, a CONV_2D of stride 1."""
        options = schema.Conv2DOptionsT()
        options.fusedActivationFunction = operator.builtinOptions.fusedActivationFunction
        options.padding, options.strideH, options.strideW = padding, 1, 1
        options.dilationHFactor = options.dilationWFactor = 1
        operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = options
        operator.opcodeIndex = self._code("CONV_2D", 1)

    def append_custom(
        self, name: str, inputs: Sequence[int], outputs: Mapping[str, int], options: bytes
    ) -> None:
        """Adds a custom operator at the end, whose results become the outputs of the graph.

        Args:
            name: str, as interpreters know it.

            inputs: indices of tensors.

            outputs: mapping from the name of each output in the signature to its tensor, in order.

            options: bytes, a FlexBuffers map.
        """
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode, code.version = name, 1
        self._model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = np.int32(inputs), np.int32(list(outputs.values()))
        operator.customOptions = np.frombuffer(options, np.uint8)
        self.body.operators.append(operator)
        self.body.outputs = np.int32(list(outputs.values()))
        self._signature.outputs = []
        for key, tensor in outputs.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = key, tensor
            self._signature.outputs.append(entry)

    def _code(self, name: str, version: int) -> int:
        """Returns the index of a builtin operator's code, which is added if the file lacks it."""
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
        """Number of a builtin operator; files of old converters have it in the one-byte field only."""
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def position(self, operator) -> int:
        """Returns the position of an operator in the order of execution."""
        return next(i for i, other in enumerate(self.body.operators) if other is operator)

    def insert(
        self,
        position: int,
        name: str,
        inputs: list[int],
        output: int,
        options: str | None,
        version: int = 1,
    ):
        """Adds a builtin operator at `position` in the order of execution; returns its options.

        Args:
            position, name: int; str, such as `"ADD"`.

            inputs, output: indices of tensors.

            options: str or None, the schema's class of its options, such as `"AddOptions"`.

            version: int, the operator's version. Default: 1.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(name, version)
        operator.inputs, operator.outputs = np.int32(inputs), np.int32([output])
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
        self.body.operators.insert(position, operator)
        return operator.builtinOptions


def _replace(tensors, entries, old: int, new: int) -> None:
    """Replaces a tensor's index in the graph's list and in the signature's entries."""
    for place, tensor in enumerate(tensors):
        if int(tensor) == old:
            tensors[place] = new
    for entry in entries:
        if int(entry.tensorIndex) == old:
            entry.tensorIndex = new


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
