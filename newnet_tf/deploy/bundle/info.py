"""`model.json` of a bundle: its files, their input and outputs, preprocessing, provenance."""

from collections.abc import Sequence

import numpy as np

from newnet_tf.data.resize import LONGEST
from newnet_tf.deploy import config_file
from newnet_tf.deploy.converter import ExportError
from newnet_tf.deploy.decoder import decoder_of
from newnet_tf.deploy.export_config import PIXELS
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.runtime import Runner
from newnet_tf.deploy.verification import Verification
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import OUTPUT_TYPES, PROBABILITIES
from newnet_tf.utils import io

INFO, EXPECTED = "model.json", "expected_outputs.npz"
FORMAT = 4  # raise it when keys of `model.json` change; also in `templates/check.py`
MIN_PROBABILITY = 1e-30  # float32 has no smaller ones
# How far an output may differ on another machine or with another interpreter, in standard deviations
# of the outputs. EfficientNet-Lite0 and 2 with tflite-runtime 2.14 (`results/runtimes.csv`): 2e-6 in
# fp32 and fp16, 0.18 in int8-dynamic, 0.23 in int8-full (0.25 and 0.43 with earlier configs).
FLOAT_TOLERANCE, QUANTIZED_TOLERANCE = 0.001, 1.0
MIN_TOLERANCE = 1e-6  # where outputs hardly vary: probabilities of classes that no image shows


def named_outputs(runner: Runner, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs of a file by name, also if it has one output only."""
    outputs = runner(inputs)
    return outputs if isinstance(outputs, dict) else {runner.outputs[0].name: outputs}


def make_info(
    runners: Sequence[Runner],
    verifications: Sequence[Verification | None],
    batch: ImageBatch,
) -> dict:
    """Returns the content of `model.json` without digests."""
    config = runners[0].config
    metadata = config.metadata
    tensors = [_tensors(runner, config.preprocess) for runner in runners]
    if any(other != tensors[0] for other in tensors):
        raise ExportError(f"all files must have the same input and outputs. Received: {tensors}")
    image, outputs = tensors[0]
    preprocess = config.preprocess
    return {
        "format": FORMAT,
        "name": config.model,
        "task": config.task,
        "output_type": config.output_type if config.task in OUTPUT_TYPES else None,
        "license": metadata.license,
        "provenance": {
            "license": metadata.license,
            "author": metadata.author,
            "dataset": metadata.dataset,
            "weights": metadata.weights or None,
            "sha256_of_weights": config.weights,
            "sha256_of_graph": config.graph,
            "versions": dict(config.versions),
        },
        "labels": f"{io.file_stem(config.model)}.labels.txt" if metadata.class_names else None,
        "image": {
            "image_size": preprocess.image_size,
            "resize": preprocess.resize,
            "resize_mode": preprocess.resize_mode,
            "interpolation": preprocess.interpolation,
            "antialias": preprocess.antialias,
            "half_pixel_centers": preprocess.half_pixel_centers,
            "max_aspect": LONGEST,
            "colors": preprocess.channel_order if preprocess.channels == 3 else "gray",
            "range": [0, 255],
            "mean": preprocess.mean,
            "std": preprocess.std,
            "normalized_by": "the file" if image["values"] == PIXELS else "you",
        },
        "input": image,
        "outputs": outputs,
        "decoder": decoder_of(config, runners[0].outputs),
        "files": [
            _file(runner, verification, batch)
            for runner, verification in zip(runners, verifications, strict=True)
        ],
        "expected": {"file": EXPECTED, "images": list(batch.names)},
    }


def _tensors(runner: Runner, preprocess: PreprocessConfig) -> tuple[dict, list[dict]]:
    """Returns the input and the outputs of a file, as JSON values."""
    [spec] = runner.inputs
    image = {"name": spec.name, "values": PIXELS, **spec.to_dict()}
    if not runner.expects_uint8_pixels:
        image |= {"values": "normalized", "scale": preprocess.scale, "offset": preprocess.offset}
    order = Graph(runner.file.read_bytes()).output_names
    outputs = [
        {"name": spec.name, "index": order.index(spec.name), **spec.to_dict()}
        for spec in runner.outputs
    ]
    return image, outputs


def _file(runner: Runner, verification: Verification | None, batch: ImageBatch) -> dict:
    """Returns the description of one .tflite file."""
    config = runner.config
    tolerance = FLOAT_TOLERANCE if config.precision.startswith("fp") else QUANTIZED_TOLERANCE
    bounds = {}
    for name, values in named_outputs(runner, model_inputs(runner, batch)).items():
        if config.output_type == PROBABILITIES:
            values = np.log(np.maximum(values, MIN_PROBABILITY))
        std = values.std(0).mean() if len(values) > 1 else values.std()
        bounds[name] = max(tolerance * float(std), MIN_TOLERANCE)
    return {
        "file": runner.file.name,
        "precision": config.precision,
        "bytes": runner.file.stat().st_size,
        "config": config_file.description_path(runner.file).name,
        "xnnpack": str(runner.delegation()),
        "verification": verification and verification.to_dict(),
        "max_difference": bounds,
    }


def model_inputs(runner: Runner, batch: ImageBatch) -> np.ndarray:
    """Returns images as a file takes them."""
    return batch.pixels if runner.expects_uint8_pixels else batch.inputs
