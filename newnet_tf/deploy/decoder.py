"""How code outside of Python turns the raw outputs of an exported file into results.

The code of bundles and the web page are generated from it. A task describes it by
`Task.decoder_spec`, as JSON values; tasks without results to compute have none.
"""

from collections.abc import Sequence
from typing import Any

from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.tensor_spec import TensorSpec
from newnet_tf.task import task_of


def decoder_of(config: ExportConfig, outputs: Sequence[TensorSpec]) -> dict[str, Any] | None:
    """Returns the description of a file's decoder, as `detection.decoder_spec`.

    Args:
        config: `ExportConfig` of the file.

        outputs: the file's outputs.

    Returns:
        dict of JSON values; None for a task without one, or a file that ends in its post-processing
        operator.

    Raises:
        ValueError: if the outputs are not those that the decoder reads.
    """
    spec = None if config.embed_postprocess else task_of(config.metadata).decoder_spec()
    if spec is None:
        return None
    anchors = sum(grid["size"] ** 2 * len(grid["anchors"]) for grid in spec["maps"])
    columns = spec["background"] + spec["classes"]
    expected = {spec["boxes"]: (1, anchors, 4), spec["scores"]: (1, anchors, columns)}
    found = {output.name: tuple(output.shape) for output in outputs}
    if found != expected:
        raise ValueError(
            f"{config.model} must have the raw outputs of its detector, {expected}. Received: {found}"
        )
    return spec
