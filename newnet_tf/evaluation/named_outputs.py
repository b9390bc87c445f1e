"""How close the named outputs of an exported model are to the Keras model's. NumPy only."""

from collections.abc import Mapping, Sequence

import numpy as np

from newnet_tf.utils.math import rms


def check_outputs(
    outputs: Mapping[str, np.ndarray], names: Sequence[str], argument: str
) -> dict[str, np.ndarray]:
    """Returns a model's outputs as float64 arrays.

    Args:
        outputs: mapping from name to array.

        names: sequence of str, all names that it must have.

        argument: str, the name of `outputs` in an error.

    Raises:
        ValueError: for other names.
    """
    if not isinstance(outputs, Mapping) or set(outputs) != set(names):
        received = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise ValueError(
            f"`{argument}` must be a mapping with {' and '.join(map(repr, names))}. "
            f"Received: {received}"
        )
    return {name: np.asarray(outputs[name], np.float64) for name in names}


def closeness(
    reference: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Compares outputs of several images.

    Args:
        reference, outputs: mappings from name to array (images, ...), of `check_outputs`.

    Returns:
        Mapping with these figures:

        - `"images"`: int, the number of images.
        - `"cosine"`: cosine similarity of an output, from both the mean of the reference over images
          subtracted; the lowest of all outputs.
        - `"max_normalized_error"`: the largest absolute difference, divided by the standard deviation
          of the reference over images (root mean square over all values of an output); the largest of
          all outputs.

    Raises:
        ValueError: if shapes differ.
    """
    shapes = [tuple(values.shape for values in arrays.values()) for arrays in (reference, outputs)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "`reference` and the file's outputs must have the same shapes. Received: "
            f"{shapes[0]} and {shapes[1]}"
        )
    cosines, errors = zip(
        *(_closeness(reference[name], outputs[name]) for name in reference), strict=True
    )
    images = len(next(iter(reference.values())))
    return {"images": images, "cosine": min(cosines), "max_normalized_error": max(errors)}


def _closeness(reference: np.ndarray, outputs: np.ndarray) -> tuple[float, float]:
    """Returns (cosine, largest normalized error) of an output."""
    signal, error = reference - reference.mean(axis=0), outputs - reference
    noisy, std = signal + error, rms(signal)
    norms = np.linalg.norm(signal) * np.linalg.norm(noisy)
    return (
        float((signal * noisy).sum() / norms) if norms else 0.0,
        float(np.abs(error).max() / std) if std else float("inf"),
    )
