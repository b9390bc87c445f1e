"""The options of an export, and which of them go together. Standard library only."""

from collections.abc import Sequence

from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.models.config import RGB, PreprocessConfig
from newnet_tf.models.config.metadata import LOGITS, PROBABILITIES, SIGMOID
from newnet_tf.utils.suggest import suggestion

IO_DTYPES = ("float32", "int8", "uint8")
OUTPUT_TYPES = (LOGITS, PROBABILITIES, SIGMOID)
CALIBRATION_METHODS = ("mse", "min-max", "percentile", "entropy")  # see `range_estimators`
DEFAULT_CALIBRATION_METHOD, MIN_MAX = CALIBRATION_METHODS[:2]


def check_options(
    precisions: Sequence[str],
    io_dtype: str,
    embed_normalization: bool,
    output_type: str | None,
) -> None:
    """Raises ValueError unless these options, as of `ExportConfig`, describe possible files."""
    if isinstance(precisions, str) or not precisions:
        raise ValueError(
            f"`precisions` must be a list of some of {tuple(PRECISIONS)}. Received: {precisions!r}"
        )
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ValueError(
                f"`precision` must be among {tuple(PRECISIONS)}. "
                f"Received: precision={precision!r}{suggestion(precision, PRECISIONS)}"
            )
    if io_dtype not in IO_DTYPES:
        raise ValueError(f"`io_dtype` must be among {IO_DTYPES}. Received: io_dtype={io_dtype!r}")
    check_output_type(output_type)
    if io_dtype != "float32" and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`io_dtype` must be 'float32' for every precision but 'int8-full'. "
            f"Received: io_dtype={io_dtype!r}, precisions={tuple(precisions)}"
        )
    if io_dtype != "float32" and output_type not in (None, LOGITS):
        raise ValueError(
            "`output_type` must be 'logits' where outputs are integers: probabilities with a scale "
            "of 1/256 are too coarse to verify. "
            f"Received: io_dtype={io_dtype!r}, output_type={output_type!r}"
        )
    if io_dtype == "int8" and embed_normalization:
        raise ValueError(
            "`io_dtype` must be 'float32' or 'uint8' where the file normalizes: pixels are uint8. "
            f"Received: io_dtype={io_dtype!r}, embed_normalization=True"
        )


def check_output_type(output_type: str | None) -> None:
    """Raises ValueError unless files may have this `output_type`; None is the model's own."""
    if output_type is not None and output_type not in OUTPUT_TYPES:
        raise ValueError(
            f"`output_type` must be among {OUTPUT_TYPES}. "
            f"Received: output_type={output_type!r}{suggestion(output_type, OUTPUT_TYPES)}"
        )


def check_embedding(preprocess: PreprocessConfig, embed_normalization: bool) -> None:
    """Raises ValueError unless a file can normalize pixels of this preprocessing by itself."""
    if embed_normalization and preprocess.channel_order != RGB:
        raise ValueError(
            "`embed_normalization` must be False for a model that takes channels in the order BGR: the "
            "app swaps them. Received: embed_normalization=True"
        )


def check_exclude_layers(precisions: Sequence[str], exclude_layers: Sequence[str]) -> None:
    """Raises ValueError unless these layers may stay float32 in files of these precisions."""
    if exclude_layers and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`exclude_layers` must be empty for every precision but 'int8-full'. "
            f"Received: exclude_layers={tuple(exclude_layers)}, precisions={tuple(precisions)}"
        )


def check_calibration_method(precisions: Sequence[str], calibration_method: str | None) -> None:
    """Raises ValueError unless files of these precisions may be calibrated by this method."""
    if calibration_method is not None and calibration_method not in CALIBRATION_METHODS:
        raise ValueError(
            f"`calibration_method` must be among {CALIBRATION_METHODS}. "
            f"Received: calibration_method={calibration_method!r}"
            f"{suggestion(calibration_method, CALIBRATION_METHODS)}"
        )
    if calibration_method is not None and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`calibration_method` must be None for every precision but 'int8-full'. "
            f"Received: calibration_method={calibration_method!r}, precisions={tuple(precisions)}"
        )
