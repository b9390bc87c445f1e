"""`newnet_tf.convert`: a checkpoint of another framework into a file that Keras loads."""

import os
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import weights as checkpoints
from newnet_tf.models import registry


@dataclass(frozen=True)
class ConvertResult:
    """A converted checkpoint.

    Args:
        model: str, the model's name.

        file: `Path` of the new file.

        checkpoint_format: str, how the checkpoint names its tensors.

        tensors: int, number of tensors that were converted.

        skipped: tuple of str, tensors that a model has no use for.

        classes: int, number of classes; None without the classifier.
    """

    model: str
    file: Path
    checkpoint_format: str
    tensors: int
    skipped: tuple[str, ...]
    classes: int | None

    def __str__(self) -> str:
        return f"{self.file}: {self.tensors} tensors of format {self.checkpoint_format}"


def convert(
    model: str,
    checkpoint: str | os.PathLike,
    output: str | os.PathLike,
    *,
    classes: int | None = None,
    include_top: bool = True,
) -> ConvertResult:
    """Converts a checkpoint; every tensor must be used and every variable must be set.

    Args:
        model: str, name of the model of the zoo that the checkpoint is of, e.g. `"rexnet_100"`.

        checkpoint: path of the checkpoint, with one of the suffixes of `newnet_tf.weights.SUFFIXES`.

        output: path of the new file, with one of the suffixes of `newnet_tf.weights.WRITABLE`.

        classes: int, number of classes of the checkpoint. Default: read from the checkpoint.

        include_top: bool, whether to keep pooling and classifier. Default: True.

    Returns:
        A `ConvertResult`.

    Raises:
        ValueError: if the model is unknown, the checkpoint is not one of it, or the suffix of
            `output` is not known.

    Example:
        >>> print(newnet_tf.convert("rexnet_100", "rexnetv1_1.0.pth", "rexnet.weights.h5"))
        rexnet.weights.h5: 519 tensors of format rexnet
    """
    if not str(output).endswith(checkpoints.WRITABLE):
        raise ValueError(
            f"`output` (--output) must end in {', '.join(checkpoints.WRITABLE)}. Received: {output}"
        )
    variant, _ = registry.resolve(model)
    from newnet_tf.weights import assign, reader

    read = reader.read(Path(checkpoint))
    others = (v.target for v in registry.REGISTRY.values() if v is not variant)
    target = variant.target()
    count = classes or assign.classes_in(read, target) or variant.card.classes
    built = variant.build(include_top=include_top, classes=count)
    report = assign.assign_weights(built, read, target, others, new_classifier=False)
    checkpoints.save(built, output)
    return ConvertResult(
        model=variant.card.name,
        file=Path(output),
        checkpoint_format=report.format,
        tensors=report.tensors,
        skipped=tuple(report.skipped),
        classes=count if include_top else None,
    )
