"""ExportConfig: all that determines an exported file.

It is saved as JSON next to its file. Its digest covers everything that the file's bytes depend on, so
that a file whose digest is unchanged need not be exported again. Standard library only.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from newnet_tf.deploy.quantization.precisions import PRECISIONS, Tolerance
from newnet_tf.models.config import PreprocessConfig

FORMAT = 8  # raise it when an unchanged config begins to give another file, or when its keys change
IO_DTYPES = ("float32", "int8", "uint8")
OUTPUT_TYPES = ("logits", "probabilities")
CLASSIFICATION = "classification"  # the task whose outputs are class scores
DEPLOYMENT, TIMING = "deployment", "timing only"
CALIBRATION_METHODS = ("mse", "min-max", "percentile", "entropy")  # see `range_estimators`
DEFAULT_CALIBRATION_METHOD, MIN_MAX = CALIBRATION_METHODS[:2]
PIXELS = "pixels"  # in file names and signatures: the input is uint8 in 0-255


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The images that activation ranges were measured on.

    Args:
        image_names: tuple of str, their file names.

        count: int, their number.

        sha256: str, digest over their pixels.
    """

    image_names: tuple[str, ...]
    count: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TensorSignature:
    """One input or output of a file.

    Args:
        name: str, its name in the file's signature.

        shape: tuple of int or None; None is a free batch dimension.

        dtype: str, such as `"float32"`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """All that determines an exported file.

    Args:
        model: str, the model's name.

        precision: str, one of `PRECISIONS`.

        preprocess: `PreprocessConfig`, how images become the model's input. Its `image_size` is the
            input's height and width.

        weights: str, sha256 over all weights.

        graph: str, sha256 over layers and connections.

        versions: mapping of package to version: those that the converter's result depends on.

        task: str, a name in `newnet_tf.task.TASKS`. Default: `"classification"`.

        io_dtype: `"float32"` (default), or with `"int8-full"` one of `"int8"`, `"uint8"`: type of
            inputs and outputs, quantized with the model's own scales.

        embed_normalization: bool. With True the input is uint8 pixels in 0-255, already resized and
            cropped, and the file normalizes. Default: False, a normalized input.

        output_type: `"logits"` (default), the model's outputs without a softmax at the end, or
            `"probabilities"`, for classification: a float32 softmax is in the file. Not with an
            integer `io_dtype`, whose scale of 1/256 would be too coarse to verify.

        calibration: `Calibration` or None, for a precision that uses calibration images.

        exclude_layers: tuple of str, layers that stay float32, with `"int8-full"` only.

        calibration_method: str or None, how activation ranges are chosen, one of
            `CALIBRATION_METHODS`, with `"int8-full"` only.

        purpose: `"deployment"`, or `"timing only"` for a file that was not verified.

        inputs: tuple of `TensorSignature`, in the file's order.

        outputs: tuple of `TensorSignature`, in the file's order.
    """

    model: str
    precision: str
    preprocess: PreprocessConfig
    weights: str
    graph: str
    versions: Mapping[str, str]
    task: str = CLASSIFICATION
    io_dtype: str = "float32"
    embed_normalization: bool = False
    output_type: str = "logits"
    calibration: Calibration | None = None
    exclude_layers: tuple[str, ...] = ()
    calibration_method: str | None = None
    purpose: str = DEPLOYMENT
    inputs: tuple[TensorSignature, ...] = ()
    outputs: tuple[TensorSignature, ...] = ()

    def __post_init__(self):
        precisions = [self.precision]
        check_options(
            precisions, self.io_dtype, self.embed_normalization, self.output_type, self.task
        )
        check_exclude_layers(precisions, self.exclude_layers)
        check_calibration_method(precisions, self.calibration_method)

    @property
    def tolerance(self) -> Tolerance:
        """How far a classifier's scores may lie from the model's."""
        return PRECISIONS[self.precision].tolerance

    @property
    def is_corrected(self) -> bool:
        """Whether kernels are rounded, and biases corrected, with calibration images."""
        return PRECISIONS[self.precision].corrected and self.calibration is not None

    @property
    def kind(self) -> str:
        """What the file is, e.g. `"fp32"`, `"int8-full.float2"`, `"fp16.pixels.probabilities"`."""
        parts = [self.precision]
        if self.exclude_layers:
            parts.append(f"float{len(self.exclude_layers)}")
        if self.calibration_method not in (None, DEFAULT_CALIBRATION_METHOD):
            parts.append(self.calibration_method)
        if self.io_dtype != "float32":
            parts.append(self.io_dtype)
        if self.embed_normalization:
            parts.append(PIXELS)
        if self.output_type != "logits":
            parts.append(self.output_type)
        return ".".join(parts)

    @property
    def stem(self) -> str:
        """File name without suffix: `<model>.<kind>`."""
        return f"{self.model.replace(':', '_')}.{self.kind}"

    @property
    def digest(self) -> str:
        """sha256 over everything that the file's bytes depend on."""
        fields = self._fields()
        del fields["purpose"]
        if self.calibration:
            fields["calibration"] = self.calibration.sha256
        text = json.dumps({"format": FORMAT, **fields}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict:
        """Returns the config as JSON values, with its digest and tolerance."""
        return {
            **self._fields(),
            "tolerance": asdict(self.tolerance),
            "format": FORMAT,
            "digest": self.digest,
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> "ExportConfig":
        """Returns the config that `to_dict()` described; other keys are ignored.

        Args:
            values: mapping, as read from JSON.

        Raises:
            ValueError: for another format, a missing field, or a value unknown to this version.
        """
        if not isinstance(values, Mapping):
            raise ValueError(
                f"an export config must be a JSON object. Received: {type(values).__name__}"
            )
        if "format" in values and values["format"] != FORMAT:
            raise ValueError(
                f"an export config must have format {FORMAT}: export the model anew with this "
                f"version of newnet_tf. Received: format {values['format']!r}"
            )
        try:
            fields = {name: values[name] for name in cls.__dataclass_fields__}
            preprocess = dict(fields["preprocess"])
            preprocess |= {name: tuple(preprocess[name]) for name in ("mean", "std")}
            fields["preprocess"] = PreprocessConfig(**preprocess)
            fields["exclude_layers"] = tuple(fields["exclude_layers"])
            for name in ("inputs", "outputs"):
                fields[name] = tuple(_signature(tensor) for tensor in fields[name])
            if fields["calibration"]:
                calibration = dict(fields["calibration"])
                calibration["image_names"] = tuple(calibration["image_names"])
                fields["calibration"] = Calibration(**calibration)
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            needed = ", ".join(cls.__dataclass_fields__)
            raise ValueError(
                f"an export config must hold {needed}. Received: {type(error).__name__}: {error}"
            ) from error

    def _fields(self) -> dict:
        return json.loads(json.dumps(asdict(self)))


def _signature(values: Mapping) -> TensorSignature:
    return TensorSignature(**{**values, "shape": tuple(values["shape"])})


def check_options(
    precisions: Sequence[str],
    io_dtype: str,
    embed_normalization: bool,
    output_type: str,
    task: str = CLASSIFICATION,
) -> None:
    """Raises ValueError unless these options, as of `ExportConfig`, describe possible files."""
    if isinstance(precisions, str) or not precisions:
        raise ValueError(
            f"`precisions` must be a list of some of {tuple(PRECISIONS)}. Received: {precisions!r}"
        )
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ValueError(
                f"`precision` must be among {tuple(PRECISIONS)}. Received: precision={precision!r}"
            )
    if io_dtype not in IO_DTYPES:
        raise ValueError(f"`io_dtype` must be among {IO_DTYPES}. Received: io_dtype={io_dtype!r}")
    check_output_type(output_type, task)
    if io_dtype != "float32" and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`io_dtype` must be 'float32' for every precision but 'int8-full'. "
            f"Received: io_dtype={io_dtype!r}, precisions={tuple(precisions)}"
        )
    if io_dtype != "float32" and output_type != "logits":
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


def check_output_type(output_type: str, task: str = CLASSIFICATION) -> None:
    """Raises ValueError unless files of a task may have this `output_type`."""
    if output_type not in OUTPUT_TYPES:
        raise ValueError(
            f"`output_type` must be among {OUTPUT_TYPES}. Received: output_type={output_type!r}"
        )
    if output_type != "logits" and task != CLASSIFICATION:
        raise ValueError(
            f"`output_type` must be 'logits' for every task but {CLASSIFICATION!r}. "
            f"Received: output_type={output_type!r}, task={task!r}"
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
        )
    if calibration_method is not None and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`calibration_method` must be None for every precision but 'int8-full'. "
            f"Received: calibration_method={calibration_method!r}, precisions={tuple(precisions)}"
        )
