"""ExportConfig: all that determines an exported file.

It is saved as JSON next to its file. Its digest covers everything that the file's bytes depend on, so
that a file whose digest is unchanged need not be exported again. Standard library only.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from newnet_tf.deploy.export_options import (
    DEFAULT_CALIBRATION_METHOD,
    check_calibration_method,
    check_embedding,
    check_exclude_layers,
    check_options,
)
from newnet_tf.deploy.quantization.precisions import PRECISIONS, Tolerance
from newnet_tf.models.config.metadata import LOGITS, HasMetadata, ModelMetadata
from newnet_tf.utils import io

FORMAT = (
    10  # raise it when an unchanged config begins to give another file, or when its keys change
)
DEPLOYMENT, TIMING = "deployment", "timing only"
POSTPROCESSED = "postprocessed"  # in file names: the file ends in a post-processing operator
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
class ExportConfig(HasMetadata):
    """All that determines an exported file.

    Args:
        metadata: `ModelMetadata` of the file: model, task, preprocessing, classes, what its outputs
            are, origin, digest of the weights. The image size of the preprocessing is the input's.

        precision: str, one of `PRECISIONS`.

        graph: str, sha256 over layers and connections.

        versions: mapping of package to version: those that the converter's result depends on.

        io_dtype: `"float32"` (default), or with `"int8-full"` one of `"int8"`, `"uint8"`: type of
            inputs and outputs, quantized with the model's own scales.

        embed_normalization: bool. With True the input is uint8 pixels in 0-255, already resized and
            cropped, and the file normalizes. Default: False, a normalized input.

        model_output_type: str, what the outputs of the model are that was exported, see
            `ModelMetadata.output_type`. Default: `"logits"`.

        appended_activation: `"softmax"` or `"sigmoid"`, computed in float32, which the export added to
            the converted graph. Not with an integer `io_dtype`, whose scale of 1/256 would be too
            coarse to verify. Default: None.

        embed_postprocess: bool, whether the file ends in the task's post-processing operator, see
            `Task.postprocess_operator`. Default: False.

        calibration: `Calibration` or None, for a precision that uses calibration images.

        exclude_layers: tuple of str, layers that stay float32, with `"int8-full"` only.

        calibration_method: str or None, how activation ranges are chosen, one of
            `CALIBRATION_METHODS`, with `"int8-full"` only.

        purpose: `"deployment"`, or `"timing only"` for a file that was not verified.

        inputs: tuple of `TensorSignature`, in the file's order.

        outputs: tuple of `TensorSignature`, in the file's order.
    """

    metadata: ModelMetadata
    precision: str
    graph: str
    versions: Mapping[str, str]
    io_dtype: str = "float32"
    embed_normalization: bool = False
    model_output_type: str = LOGITS
    appended_activation: str | None = None
    embed_postprocess: bool = False
    calibration: Calibration | None = None
    exclude_layers: tuple[str, ...] = ()
    calibration_method: str | None = None
    purpose: str = DEPLOYMENT
    inputs: tuple[TensorSignature, ...] = ()
    outputs: tuple[TensorSignature, ...] = ()

    def __post_init__(self):
        precisions = [self.precision]
        check_options(precisions, self.io_dtype, self.embed_normalization, self.output_type)
        check_embedding(self.preprocess, self.embed_normalization)
        if self.embed_postprocess and self.io_dtype != "float32":
            raise ValueError(
                "`io_dtype` must be 'float32' with `embed_postprocess`: boxes are floats. "
                f"Received: io_dtype={self.io_dtype!r}"
            )
        check_exclude_layers(precisions, self.exclude_layers)
        check_calibration_method(precisions, self.calibration_method)

    @property
    def model(self) -> str:
        """The model's name."""
        return self.metadata.name

    @property
    def output_type(self) -> str:
        """What the file's outputs are."""
        return self.metadata.output_type

    @property
    def weights(self) -> str:
        """sha256 over all weights."""
        return self.metadata.sha256

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
        if self.embed_postprocess:
            parts.append(POSTPROCESSED)
        if self.output_type != self.model_output_type:
            parts.append(self.output_type)
        return ".".join(parts)

    @property
    def stem(self) -> str:
        """File name without suffix: `<model>.<kind>`."""
        return f"{io.file_stem(self.model)}.{self.kind}"

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
            fields["metadata"] = ModelMetadata.from_dict(fields["metadata"])
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
        fields = json.loads(json.dumps(asdict(self)))
        return {**fields, "metadata": self.metadata.to_dict()}


def _signature(values: Mapping) -> TensorSignature:
    return TensorSignature(**{**values, "shape": tuple(values["shape"])})
