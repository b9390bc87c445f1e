"""Recipes: what determines a TFLite file.

A recipe is saved as JSON beside its file. Its digest covers everything that the file's bytes depend
on, so that a file whose recipe has the wanted digest need not be made again. Standard library only.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from newnet_tf.deploy.quantization.precisions import PRECISIONS, Tolerance
from newnet_tf.models.config import PreprocessConfig

FORMAT = 7  # raise it when an unchanged recipe begins to give another file
IO = ("float32", "int8", "uint8")
OUTPUTS = ("logits", "probabilities")
DEPLOYMENT, TIMING = "deployment", "timing only"
RANGES = (
    "least-squares",
    "min-max",
    "percentile",
    "entropy",
)  # ways to choose them, see `clipping`
BEST, UNCLIPPED = RANGES[:2]
PIXELS = "pixels"  # in file names and signatures: the input is uint8 in 0-255


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The images that maps were measured on: their names, their number, sha256 over pixels."""

    sources: tuple[str, ...]
    count: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """All that determines a TFLite file.

    Args:
        model: str, the network's name.
        precision: one of `PRECISIONS`.
        preprocess: `cards.Preprocess`, how images become its input; `size` is the input's side.
        weights: str, sha256 over all variables. graph: str, sha256 over layers and connections.
        versions: mapping of package to version, those that the converter's result depends on.
        io_dtype: `"float32"` (default), or with `"int8-full"` one of `"int8"`, `"uint8"`: type of input
            and output, quantized by the network's own ranges.
        embed_normalization: bool, whether the input is uint8 pixels in 0-255, already resized and
            cropped, and the file normalizes. Default: False, a normalized input.
        output_type: `"logits"` (default; a softmax at the model's end is left out) or
            `"probabilities"` (a float32 softmax is in the file; not with an integer `io_dtype`, whose
            steps of 1/256 would be too coarse to verify).
        calibration: `Calibration`, for a precision that is calibrated or may be corrected only.
        exclude_layers: tuple of str, layers that stay float32, with `"int8-full"` only.
        calibration_method: how the ranges of maps are chosen, one of `RANGES`, with `"int8-full"` only.
        purpose: `"deployment"`, or `"timing only"` for a file that nobody verified.
    """

    model: str
    precision: str
    preprocess: PreprocessConfig
    weights: str
    graph: str
    versions: Mapping[str, str]
    io_dtype: str = "float32"
    embed_normalization: bool = False
    output_type: str = "logits"
    calibration: Calibration | None = None
    exclude_layers: tuple[str, ...] = ()
    calibration_method: str | None = None
    purpose: str = DEPLOYMENT

    def __post_init__(self):
        check_options([self.precision], self.io_dtype, self.embed_normalization, self.output_type)
        check_exclude_layers([self.precision], self.exclude_layers)
        check_ranges([self.precision], self.calibration_method)

    @property
    def tolerance(self) -> Tolerance:
        """How far the file's outputs may lie from the model's."""
        return PRECISIONS[self.precision].tolerance

    @property
    def is_corrected(self) -> bool:
        """Whether filters are rounded, and biases corrected, by what calibration images show."""
        return PRECISIONS[self.precision].corrected and self.calibration is not None

    @property
    def kind(self) -> str:
        """What the file is, e.g. `"fp32"`, `"int8-full.float2"`, `"fp16.pixels.probabilities"`."""
        parts = [self.precision]
        parts += [f"float{len(self.exclude_layers)}"] if self.exclude_layers else []
        parts += [self.calibration_method] if self.calibration_method not in (None, BEST) else []
        parts += [self.io_dtype] if self.io_dtype != "float32" else []
        parts += [PIXELS] if self.embed_normalization else []
        parts += [self.output_type] if self.output_type != "logits" else []
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

    def record(self) -> dict:
        """Returns the recipe as JSON values, with its digest and tolerance."""
        return {
            **self._fields(),
            "tolerance": asdict(self.tolerance),
            "format": FORMAT,
            "digest": self.digest,
        }

    @classmethod
    def from_record(cls, record: Mapping) -> "ExportConfig":
        """Returns the recipe that `record()` gave; other keys are left alone.

        Raises:
            ValueError: for a record that lacks a field or holds a value unknown to this version.
        """
        try:
            before = UNCLIPPED if record["precision"] == "int8-full" else None
            record = {"exclude_layers": (), "ranges": before, **record}  # files of formats 1 and 2
            fields = {name: record[name] for name in cls.__dataclass_fields__}
            fields["exclude_layers"] = tuple(fields["exclude_layers"])
            preprocess = dict(fields["preprocess"])
            preprocess |= {k: tuple(preprocess[k]) for k in ("mean", "std")}
            fields["preprocess"] = PreprocessConfig(**preprocess)
            if fields["calibration"]:
                calibration = dict(fields["calibration"])
                calibration["sources"] = tuple(calibration["sources"])
                fields["calibration"] = Calibration(**calibration)
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            needed = ", ".join(cls.__dataclass_fields__)
            raise ValueError(
                f"a recipe must hold {needed}. Received: {type(error).__name__}: {error}"
            ) from error

    def _fields(self) -> dict:
        return json.loads(json.dumps(asdict(self)))


def check_options(precisions, io_dtype, embed_normalization, output_type) -> None:
    """Raises ValueError unless these options name files that can be made."""
    if isinstance(precisions, str) or not precisions:
        raise ValueError(
            f"`precisions` must be a list of some of {tuple(PRECISIONS)}. Received: {precisions!r}"
        )
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ValueError(
                f"`precision` must be among {tuple(PRECISIONS)}. Received: precision={precision!r}"
            )
    if io_dtype not in IO:
        raise ValueError(f"`io_dtype` must be among {IO}. Received: io_dtype={io_dtype!r}")
    if output_type not in OUTPUTS:
        raise ValueError(
            f"`output_type` must be among {OUTPUTS}. Received: output_type={output_type!r}"
        )
    if io_dtype != "float32" and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`io_dtype` must be 'float32' for every precision but 'int8-full'. "
            f"Received: io_dtype={io_dtype!r}, precisions={tuple(precisions)}"
        )
    if io_dtype != "float32" and output_type != "logits":
        raise ValueError(
            "`output_type` must be 'logits' where the output is integers: probabilities in steps of 1/256 "
            f"are too coarse to verify. Received: io_dtype={io_dtype!r}, output_type={output_type!r}"
        )
    if io_dtype == "int8" and embed_normalization:
        raise ValueError(
            "`io_dtype` must be 'float32' or 'uint8' where the file preprocesses: pixels are uint8. "
            f"Received: io_dtype={io_dtype!r}, embed_normalization=True"
        )


def check_exclude_layers(precisions, exclude_layers) -> None:
    """Raises ValueError unless these layers may stay float32 in files of these precisions."""
    if exclude_layers and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`exclude_layers` must be empty for every precision but 'int8-full'. "
            f"Received: exclude_layers={tuple(exclude_layers)}, precisions={tuple(precisions)}"
        )


def check_ranges(precisions, calibration_method) -> None:
    """Raises ValueError unless the ranges of files of these precisions may be chosen so."""
    if calibration_method is not None and calibration_method not in RANGES:
        raise ValueError(
            f"`calibration_method` must be among {RANGES}. Received: calibration_method={calibration_method!r}"
        )
    if calibration_method is not None and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`calibration_method` must be None for every precision but 'int8-full'. "
            f"Received: calibration_method={calibration_method!r}, precisions={tuple(precisions)}"
        )


def sidecar(file: str | Path) -> Path:
    """Returns where the recipe of a TFLite file lies: beside it, as `.json`."""
    return Path(file).with_suffix(".json")


def read(file: str | Path) -> dict | None:
    """Returns the record beside a TFLite file, None where there is none.

    Raises:
        ValueError: for a file that is not the JSON of a recipe; it names the file.
    """
    path = sidecar(file)
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        ExportConfig.from_record(record)
    except ValueError as error:
        raise ValueError(
            f"{path} must be a recipe that this version wrote. Received: {error}"
        ) from error
    return record
