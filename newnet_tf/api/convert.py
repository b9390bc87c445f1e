"""`newnet_tf.convert`: a checkpoint of another framework into a file that Keras loads."""

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import weights as checkpoints
from newnet_tf.classification.class_matching import check_class_names, read_class_names
from newnet_tf.models import registry
from newnet_tf.models.config.metadata import KEY, ModelMetadata, get_metadata, set_metadata
from newnet_tf.models.model_file import save_model


@dataclass(frozen=True)
class ConvertResult:
    """A converted checkpoint.

    Args:
        model: str, the model's name.

        file: `Path` of the new file.

        checkpoint_format: str, how the checkpoint names its tensors.

        tensors: int, number of tensors that were converted.

        skipped: tuple of str, tensors and entries of the checkpoint that the model has no use for.

        classes: int, number of classes; None without the classifier.

        channels: int, number of channels of the input: 3, or 1 for gray images.

        state_dict: str, keys of dictionaries and prefixes before the tensors' names in the
            checkpoint, such as `"model_ema/module"`; `""` where there are none.

        metadata: `ModelMetadata` of the model; None without the classifier.
    """

    model: str
    file: Path
    checkpoint_format: str
    tensors: int
    skipped: tuple[str, ...]
    classes: int | None
    channels: int
    state_dict: str
    metadata: ModelMetadata | None

    def __str__(self) -> str:
        place = f", from {self.state_dict}" if self.state_dict else ""
        gray = ", of gray images" if self.channels == 1 else ""
        kind = f"{self.tensors} tensors of format {self.checkpoint_format}"
        return f"{self.file}: {kind}{place}{gray}"


def convert(
    model: str,
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    *,
    classes: int | None = None,
    include_top: bool = True,
    state_dict: str | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
) -> ConvertResult:
    """Converts a checkpoint; every tensor must be used and every variable must be set.

    A checkpoint of gray images (one input channel) becomes a model of gray images.

    Args:
        model: str, name of the model of the zoo that the checkpoint is of, e.g. `"rexnet_100"`.

        checkpoint: path of the checkpoint: of PyTorch (`.pth`, `.pt`, `.bin`, `.ckpt`, `.pth.tar`),
            safetensors (also the `.index.json` of its shards), NumPy (`.npz`) or Keras (`.keras`,
            `.weights.h5`, `.h5`). The content decides, not the suffix.

        output: path of the new file, with one of the suffixes of `newnet_tf.weights.WRITABLE`.

        classes: int, number of classes of the checkpoint. Default: read from the checkpoint.

        include_top: bool, whether to keep pooling and classifier. Default: True.

        state_dict: str, which weights to take from a file that holds several: the keys of the
            dictionaries and the prefixes before the tensors' names, such as `"model"` or
            `"model_ema"`. Default: where the model's names are found, averaged weights (EMA) before
            others.

        class_names: a str for each class, path of a text file with a class a line, or `"imagenet"`.
            `.keras` and `.safetensors` files hold them. Default: unknown.

    Returns:
        A `ConvertResult`.

    Raises:
        ValueError: if the model is unknown, the checkpoint is not one of it, several weights in it
            fit and `state_dict` does not say which, or the suffix of `output` is not known.

    Example:
        >>> print(newnet_tf.convert("rexnet_100", "rexnetv1_1.0.pth", "rexnet.weights.h5"))
        rexnet.weights.h5: 519 tensors of format rexnet
    """
    if not str(output).endswith(checkpoints.WRITABLE):
        raise ValueError(
            f"`output` (--output) must end in {', '.join(checkpoints.WRITABLE)}. Received: {output}"
        )
    variant, _ = registry.resolve(model)
    names = read_class_names(class_names)
    target = variant.target()
    read = checkpoints.read(Path(checkpoint), target)
    count = classes or checkpoints.class_count(read, target, state_dict) or variant.card.classes
    height, width, channels = variant.card.preprocess.shape
    if checkpoints.input_channels(read, target, state_dict) == 1:
        channels = 1
    names = names and check_class_names(names, count)
    built = variant.build(
        include_top=include_top, classes=count, input_shape=(height, width, channels)
    )
    others = (v.target for v in registry.REGISTRY.values() if v is not variant)
    report = checkpoints.load(
        built, read, target, others, state_dict=state_dict, new_classifier=False
    )
    metadata = get_metadata(built)
    if metadata is not None:
        metadata = dataclasses.replace(
            metadata, class_names=names, trained=True, weights=Path(checkpoint).name
        )
        set_metadata(built, metadata)
    if metadata is not None and str(output).endswith(".keras"):
        save_model(built, output, metadata)
    else:
        record = {KEY: json.dumps(metadata.to_dict())} if metadata is not None else {}
        checkpoints.save(built, output, record)
    return ConvertResult(
        model=variant.card.name,
        file=Path(output),
        checkpoint_format=report.format,
        tensors=report.tensors,
        skipped=tuple(report.skipped),
        classes=count if include_top else None,
        channels=channels,
        state_dict=report.state_dict,
        metadata=metadata,
    )
