"""`model.json` of bundles of many kinds, written by hand, and what their code must compute."""

import numpy as np

from newnet_tf.data.preprocess import normalize
from newnet_tf.models.config import PreprocessConfig

SIZE, CLASSES = 24, 5
PREPROCESS = PreprocessConfig(image_size=SIZE, crop_pct=1.0)
UNROUNDED = PreprocessConfig(
    image_size=SIZE, crop_pct=0.8, interpolation="bilinear", antialias=False
)
BGR = PreprocessConfig(
    image_size=SIZE, crop_pct=1.0, mean=(0.4, 0.5, 0.6), std=(0.2, 0.4, 0.5), channel_order="BGR"
)
NAMES = [f"thing {number}" for number in range(CLASSES)]
QUANTIZATION = {"scale": 0.025, "zero_point": 3}
PIXELS = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def info(
    dtype="float32",
    *,
    values="normalized",
    zero_point=3,
    preprocess=PREPROCESS,
    gray=False,
    task="classification",
    output_type="logits",
    outputs=CLASSES,
    labels="small.labels.txt",
):
    """Returns the content of `model.json`, as far as the code is generated from it."""
    is_integer = dtype != "float32" and values != "pixels"
    quantization = {**QUANTIZATION, "zero_point": zero_point} if is_integer else None
    image = {
        "name": "image",
        "shape": [1, SIZE, SIZE, 1 if gray else 3],
        "dtype": dtype,
        "values": values,
        "quantization": quantization,
    }
    if values != "pixels":
        image |= {"scale": preprocess.scale, "offset": preprocess.offset}
    scores = {
        "name": "scores",
        "index": 0,
        "shape": [1, outputs],
        "dtype": dtype if is_integer else "float32",
        "quantization": quantization,
    }
    return {
        "name": "small",
        "task": task,
        "output_type": output_type,
        "license": None,
        "provenance": {"author": None},
        "labels": labels,
        "image": {
            "image_size": SIZE,
            "resize": preprocess.resize,
            "resize_mode": preprocess.resize_mode,
            "interpolation": preprocess.interpolation,
            "antialias": preprocess.antialias,
            "half_pixel_centers": preprocess.half_pixel_centers,
            "max_aspect": 64,
            "colors": "gray" if gray else preprocess.channel_order,
        },
        "input": image,
        "outputs": [scores],
        "decoder": None,
        "files": [
            {"file": "small.fp32.tflite", "precision": "fp32", "bytes": 1000, "xnnpack": "all"}
        ],
        "expected": {"file": "expected_outputs.npz"},
    }


MULTILABEL = "multilabel_classification"
CASES = {
    "floats": info(),
    "pixels": info("uint8", values="pixels"),
    "int8": info("int8"),
    "uint8": info("uint8", zero_point=131),
    "gray": info("uint8", values="pixels", gray=True),
    "bgr": info(preprocess=BGR),
    "bgr8": info("int8", preprocess=BGR),
    "softmaxed": info(output_type="probabilities"),
    "multilabel": info(task=MULTILABEL),
    "sigmoided": info(task=MULTILABEL, output_type="sigmoid"),
    "binary": info(outputs=1),
    "binary_sigmoided": info(outputs=1, output_type="sigmoid"),
    "numbered": info(labels=None),
    "numbered_binary": info(outputs=1, labels=None),
}


def labels(case) -> list[str]:
    """Returns the labels that the code shows."""
    count = 2 if case["outputs"][0]["shape"][1] == 1 else CLASSES
    return NAMES[:count] if case["labels"] else [f"class {number}" for number in range(count)]


def check_input(data: bytes, case) -> None:
    """Checks the input that a program computed from `PIXELS`."""
    image, pixels = case["input"], PIXELS
    if image["shape"][3] == 1:
        weighted = pixels.astype(np.int64) @ [19595, 38470, 7471]
        pixels = np.uint8((weighted + 0x8000) >> 16)[..., None]
    values = np.frombuffer(data, image["dtype"]).reshape(image["shape"][1:])
    if image["values"] == "pixels":
        np.testing.assert_array_equal(values, pixels)
        return
    floats = normalize(pixels, BGR if case["image"]["colors"] == "BGR" else PREPROCESS)
    if image["dtype"] == "float32":
        np.testing.assert_allclose(values, floats, atol=1e-6)
        return
    steps, bounds = image["quantization"], np.iinfo(values.dtype)
    whole = np.round(floats / np.float32(steps["scale"])) + steps["zero_point"]
    expected = np.clip(whole, bounds.min, bounds.max)
    assert np.abs(values - expected).max() <= 1  # a tie may fall to either side
    assert (values != expected).mean() < 0.01


def outputs(case) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the interpreter gives, and the probabilities of the classes."""
    [tensor] = case["outputs"]
    count = tensor["shape"][1]
    logits = np.random.default_rng(1).normal(0, 2, count).astype("float32")
    powers = np.exp(logits - logits.max())
    softmax, sigmoid = powers / powers.sum(), 1 / (1 + np.exp(-logits))
    given = {"logits": logits, "probabilities": softmax, "sigmoid": sigmoid}[case["output_type"]]
    if tensor["quantization"]:
        step, zero = tensor["quantization"]["scale"], tensor["quantization"]["zero_point"]
        bounds = np.iinfo(tensor["dtype"])
        given = np.clip(np.round(logits / step) + zero, bounds.min, bounds.max)
        given = given.astype(tensor["dtype"])
        real = (given.astype("float32") - zero) * np.float32(step)
        powers = np.exp(real - real.max())
        softmax = powers / powers.sum()
    if count == 1:
        return given, np.concatenate([1 - sigmoid, sigmoid])
    return given, sigmoid if case["task"] == MULTILABEL else softmax
