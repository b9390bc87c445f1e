"""Recipes: what determines a TFLite file, and how far its outputs may lie from the model's.

A recipe is saved as JSON beside its file. Its digest covers everything that the file's bytes depend
on, so that a file whose recipe has the wanted digest need not be made again. Standard library only.

How the tolerances were chosen. EfficientNet-Lite 0, 1, 2 and MobileNetV1 x0.75 with their ImageNet
weights, on 150 ImageNet pictures and on subsets of 4 to 50, calibrated on 100 others. The worst figures
of correct files, as 1 - cosine / largest difference in spreads / share of changed best classes:

    fp32 1e-11 / 2e-5 / 0     fp16 3e-5 / 0.06 / 0
    int8-dynamic 0.014 / 1.1 / 0.08     int8-full 0.022 / 2.4 / 0.12 (both: MobileNetV1)

The mildest figures of faulty int8-full files on the two networks tried, as 1 - cosine: mirrored
pictures 0.038 and 0.053, pixels in 0-1 0.10 and 0.058, another network's mean and std 0.085 and 0.062,
swapped channels 0.12 and 0.10; in float32, another batch-norm epsilon 0.027. Each bound lies between.
Faults milder than int8's own error, such as (x - 127.5) / 127.5 for (x - 127) / 128, only fp32 shows.

For the other precisions, and for int8-full since its biases are corrected, `quantisation.csv` holds the
worst figures of 400 seeded choices of 4 to 50 out of 400 pictures (`worst_cosine`, `worst_difference`;
tools/measure_quantisation.py). The bounds of litert-* and int16x8, whose depthwise filters are rounded
and biases are not corrected, lie between those of MobileNetV1 and the faults above.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from newnet_tf.cards import Preprocess

FORMAT = 2  # raise it when an unchanged recipe begins to give another file
IO = ("float32", "int8", "uint8")
OUTPUTS = ("logits", "probabilities")
DEPLOYMENT, TIMING = "deployment", "timing only"
PIXELS = "pixels"  # in file names and signatures: the input is uint8 in 0-255


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a file's outputs may lie from the model's, over the pictures of a verification.

    Args:
        cosine: float, the least cosine between the two sets of outputs, each less the model's mean
            over pictures.
        difference: float, the most that a logit may differ, in units of the spread: the standard
            deviation of the model's logits over pictures.
        flips: float, the share of pictures whose best class may change; one always may if not 0.
    """

    cosine: float
    difference: float
    flips: float

    def allowed_flips(self, pictures: int) -> int:
        """Returns how many of so many pictures may change their best class."""
        return max(1, int(self.flips * pictures)) if self.flips else 0


@dataclass(frozen=True, kw_only=True)
class Precision:
    """A named way to store and compute.

    Args:
        summary: str, what is quantised. weight_bytes: int, bytes of a weight.
        tolerance: `Tolerance`.
        calibrated: bool, whether activation ranges are measured on calibration pictures.
        delegated: bool, whether XNNPACK takes it.
        maker: str, the package beside TensorFlow that makes it, "" for none.
    """

    summary: str
    weight_bytes: int
    tolerance: Tolerance
    calibrated: bool = False
    delegated: bool = True
    maker: str = ""


PRECISIONS = {
    "fp32": Precision(
        summary="float32 throughout",
        weight_bytes=4,
        tolerance=Tolerance(cosine=0.99999, difference=0.001, flips=0),
    ),
    "fp16": Precision(
        summary="float16 weights, computed in float32",
        weight_bytes=2,
        tolerance=Tolerance(cosine=0.9995, difference=0.2, flips=0.02),
    ),
    "int8-dynamic": Precision(
        summary="int8 weights, activations quantised while running; depthwise filters float32",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.98, difference=2.0, flips=0.15),
    ),
    "int8-weights": Precision(
        summary="int8 weights, float32 once the file is loaded; depthwise filters float32",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.98, difference=2.0, flips=0.15),
    ),
    "int8-full": Precision(
        summary="int8 weights and activations, ranges measured on calibration pictures",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.97, difference=3.0, flips=0.2),
        calibrated=True,
    ),
    "int16x8": Precision(
        summary="int8 weights, int16 activations; for accelerators, slow on a CPU",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.97, difference=3.0, flips=0.2),
        calibrated=True,
        delegated=False,
    ),
    "litert-dynamic": Precision(
        summary="litert-quantizer's int8-dynamic",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.97, difference=3.0, flips=0.2),
        maker="litert-quantizer",
    ),
    "litert-static": Precision(
        summary="litert-quantizer's int8-full, ranges from least to largest",
        weight_bytes=1,
        tolerance=Tolerance(cosine=0.965, difference=3.0, flips=0.2),
        calibrated=True,
        maker="litert-quantizer",
    ),
}
COMMON = ("fp32", "fp16", "int8-dynamic", "int8-full")  # that any runtime takes, and XNNPACK whole


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The pictures that activation ranges were measured on: names, number, sha256 over pixels."""

    sources: tuple[str, ...]
    count: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that determines a TFLite file.

    Args:
        model: str, the network's name.
        precision: one of `PRECISIONS`.
        preprocess: `cards.Preprocess`, how pictures become its input; `size` is the input's side.
        weights: str, sha256 over all variables. graph: str, sha256 over layers and connections.
        versions: mapping of package to version, those that the converter's result depends on.
        io: `"float32"` (default), or with `"int8-full"` one of `"int8"`, `"uint8"`: type of input
            and output, quantised by the network's own ranges.
        with_preprocessing: bool, whether the input is uint8 pixels in 0-255, already resized and
            cropped, and the file normalises. Default: False, a normalised input.
        output: `"logits"` (default; a softmax at the model's end is left out) or
            `"probabilities"` (a float32 softmax is in the file; not with an integer `io`, whose
            steps of 1/256 would be too coarse to verify).
        calibration: `Calibration`, for a precision that is calibrated only.
        keep_float: tuple of str, layers that stay float32, with `"int8-full"` only.
        purpose: `"deployment"`, or `"timing only"` for a file that nobody verified.
    """

    model: str
    precision: str
    preprocess: Preprocess
    weights: str
    graph: str
    versions: Mapping[str, str]
    io: str = "float32"
    with_preprocessing: bool = False
    output: str = "logits"
    calibration: Calibration | None = None
    keep_float: tuple[str, ...] = ()
    purpose: str = DEPLOYMENT

    def __post_init__(self):
        check_options([self.precision], self.io, self.with_preprocessing, self.output)
        check_keep_float([self.precision], self.keep_float)

    @property
    def tolerance(self) -> Tolerance:
        """How far the file's outputs may lie from the model's."""
        return PRECISIONS[self.precision].tolerance

    @property
    def kind(self) -> str:
        """What the file is, e.g. `"fp32"`, `"int8-full.float2"`, `"fp16.pixels.probabilities"`."""
        parts = [self.precision]
        parts += [f"float{len(self.keep_float)}"] if self.keep_float else []
        parts += [self.io] if self.io != "float32" else []
        parts += [PIXELS] if self.with_preprocessing else []
        parts += [self.output] if self.output != "logits" else []
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
    def from_record(cls, record: Mapping) -> "Recipe":
        """Returns the recipe that `record()` gave; other keys are left alone.

        Raises:
            ValueError: for a record that lacks a field or holds a value unknown to this version.
        """
        try:
            record = {"keep_float": (), **record}  # files of format 1 have none
            fields = {name: record[name] for name in cls.__dataclass_fields__}
            fields["keep_float"] = tuple(fields["keep_float"])
            preprocess = dict(fields["preprocess"])
            preprocess |= {k: tuple(preprocess[k]) for k in ("mean", "std")}
            fields["preprocess"] = Preprocess(**preprocess)
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


def calibrated(precisions: Iterable[str]) -> tuple[str, ...]:
    """Returns those of some precisions that need calibration pictures."""
    return tuple(name for name in precisions if PRECISIONS[name].calibrated)


def check_options(precisions, io, with_preprocessing, output) -> None:
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
    if io not in IO:
        raise ValueError(f"`io` must be among {IO}. Received: io={io!r}")
    if output not in OUTPUTS:
        raise ValueError(f"`output` must be among {OUTPUTS}. Received: output={output!r}")
    if io != "float32" and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`io` must be 'float32' for every precision but 'int8-full'. "
            f"Received: io={io!r}, precisions={tuple(precisions)}"
        )
    if io != "float32" and output != "logits":
        raise ValueError(
            "`output` must be 'logits' where the output is integers: probabilities in steps of 1/256 "
            f"are too coarse to verify. Received: io={io!r}, output={output!r}"
        )
    if io == "int8" and with_preprocessing:
        raise ValueError(
            "`io` must be 'float32' or 'uint8' where the file preprocesses: pixels are uint8. "
            f"Received: io={io!r}, with_preprocessing=True"
        )


def check_keep_float(precisions, keep_float) -> None:
    """Raises ValueError unless these layers may stay float32 in files of these precisions."""
    if keep_float and set(precisions) != {"int8-full"}:
        raise ValueError(
            "`keep_float` must be empty for every precision but 'int8-full'. "
            f"Received: keep_float={tuple(keep_float)}, precisions={tuple(precisions)}"
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
        Recipe.from_record(record)
    except ValueError as error:
        raise ValueError(
            f"{path} must be a recipe that this version wrote. Received: {error}"
        ) from error
    return record
