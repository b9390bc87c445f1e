"""How close an exported classifier's outputs are to the Keras model's. NumPy only."""

import numpy as np

from newnet_tf.utils.math import (
    MAX_LOGIT,
    MIN_PROBABILITY,
    as_logits,
    log_softmax,
    rms,
    score_matrix,
)


def fidelity(
    reference: np.ndarray,
    outputs: np.ndarray,
    output_type: str = "logits",
    reference_type: str = "logits",
) -> dict[str, float]:
    """Compares an exported model's outputs with the Keras model's.

    Args:
        reference: array (images, classes), the Keras model's outputs.

        outputs: array of the same shape from the exported model.

        output_type: `"logits"` (default), `"probabilities"` or `"sigmoid"`, what `outputs` are.
            Probabilities are compared by their logarithms, which are logits but for a constant;
            sigmoids by their logits between -8 and 8.

        reference_type: str, the same of `reference`. Default: `"logits"`.

    Returns:
        Mapping with these figures:

        - `"images"`: int, the number of images.
        - `"top1_matches"`: int, images with the same top-1 prediction.
        - `"cosine"`: cosine similarity of the outputs, from both the mean of the reference over images
          subtracted.
        - `"max_error"`: the largest absolute difference of an output.
        - `"max_normalized_error"`: the same, divided by `reference_std`.
        - `"reference_std"`: standard deviation of the reference over images, root mean square over
          classes.
        - `"sqnr"`: signal-to-quantization-noise ratio in dB: `reference_std` over the root mean square
          of the differences.

    Raises:
        ValueError: if the shapes differ.
    """
    reference, outputs = score_matrix(reference), score_matrix(outputs)
    if reference.shape != outputs.shape:
        raise ValueError(
            "`reference` and the file's outputs must have the same shape. Received: "
            f"{reference.shape} and {outputs.shape}"
        )
    types = {output_type, reference_type}
    reference, outputs = (
        _comparable(scores, kind, types)
        for scores, kind in ((reference, reference_type), (outputs, output_type))
    )
    best = reference.argmax(1), outputs.argmax(1)
    if reference.shape[1] == 1:  # a binary classifier
        best = reference[:, 0] > 0, outputs[:, 0] > 0
    signal, error = reference - reference.mean(0), outputs - reference
    reference_std, max_error = rms(signal), float(np.abs(error).max())
    noisy = signal + error
    norms = np.linalg.norm(signal) * np.linalg.norm(noisy)
    has_signal = bool(reference_std)
    return {
        "images": len(reference),
        "top1_matches": int((best[0] == best[1]).sum()),
        "cosine": float((signal * noisy).sum() / norms) if norms else 0.0,
        "max_error": max_error,
        "max_normalized_error": max_error / reference_std if has_signal else float("inf"),
        "reference_std": reference_std,
        "sqnr": float(20 * np.log10(reference_std / max(rms(error), 1e-30)))
        if has_signal
        else -np.inf,
    }


def _comparable(scores: np.ndarray, output_type: str, types: set[str]) -> np.ndarray:
    """Returns scores in the form in which scores of all `types` can be compared."""
    logits = as_logits(scores, output_type)
    if "sigmoid" in types:
        return np.clip(logits, -MAX_LOGIT, MAX_LOGIT)
    if "probabilities" in types and output_type == "logits":
        return np.maximum(log_softmax(logits), np.log(MIN_PROBABILITY))
    return logits
