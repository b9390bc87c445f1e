"""A custom operator behind a converted TFLite file that turns its raw outputs into results."""

from collections.abc import Mapping

import numpy as np

from newnet_tf.deploy.flatbuffer import io_adapters
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.task import PostprocessOperator
from newnet_tf.utils.lazy import LazyModule

flexbuffers = LazyModule("flatbuffers.flexbuffers")


def append(graph: Graph, operator: PostprocessOperator) -> None:
    """Adds a post-processing operator, whose results replace the outputs of the file.

    Args:
        graph: `Graph` with float32 outputs that have the names that `operator` reads, changed in place.

        operator: `PostprocessOperator`.
    """
    tensors = dict(zip(graph.output_names, map(int, graph.body.outputs), strict=True))
    inputs = []
    for source in operator.inputs:
        if isinstance(source, str):
            tensor, activation = tensors[source], operator.activations.get(source)
            if activation is not None:
                name = f"{source}_activated"
                tensor = io_adapters.append_activation(graph, tensor, activation, name)
            inputs.append(tensor)
        else:
            values = np.ascontiguousarray(source, "<f4")
            inputs.append(graph.add_tensor("anchors", values.shape, data=values.tobytes()))
    outputs = {name: graph.add_tensor(name, shape) for name, shape in operator.outputs.items()}
    graph.append_custom(operator.name, inputs, outputs, _encoded(operator.options))


def _encoded(options: Mapping[str, bool | int | float]) -> bytes:
    """Returns options as a FlexBuffers map, as custom operators take them."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in options.items():
            if isinstance(value, bool):
                builder.Bool(name, value)
            elif isinstance(value, int):
                builder.Int(name, value)
            else:
                builder.Float(name, value)
    return bytes(builder.Finish())
