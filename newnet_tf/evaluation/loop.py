"""The one evaluation loop: every accuracy that this package reports comes through it.

Images are decoded and prepared on the host (`data.host_loader`), exactly as `Predictor.prepare` does,
so that a Keras model, a TFLite file and a SavedModel see the same pixels. The test error that
training logs after each epoch comes from the `tf.data` pipeline instead, whose pixels differ by a
level here and there: it chooses the best epoch and draws the curves, and is not reported as accuracy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from newnet_tf.data.host_loader import Sample, each_batch
from newnet_tf.data.images import SkippedImage


class Evaluator(Protocol):
    """Collects a model's outputs image by image and makes the task's result of them.

    A task room provides one for its task (`Task.evaluator`).
    """

    def update(self, samples: Sequence[Sample], outputs: object) -> None:
        """Adds a batch.

        Args:
            samples: the images of the batch: name and label.

            outputs: the model's outputs for them, in the same order.
        """

    def result(self, skipped: tuple[SkippedImage, ...] = ()) -> object:
        """Returns the result of all batches.

        Args:
            skipped: images that could not be read.
        """


def each_image(
    samples: Sequence[Sample], outputs: Mapping[str, Any]
) -> Iterator[tuple[Sample, dict[str, Any], tuple[int, int]]]:
    """Yields the images of a batch: sample, its outputs, (height, width) of the original image.

    Args:
        samples: the images of the batch.

        outputs: mapping, the model's outputs with a batch axis, and `"image_sizes"` (images, 2), height
            and width of the original images.

    Raises:
        ValueError: without the sizes.
    """
    if "image_sizes" not in outputs:
        raise ValueError(
            "`outputs` must hold 'image_sizes', height and width of each original image. "
            f"Received: {sorted(outputs)}"
        )
    for i, (sample, size) in enumerate(zip(samples, outputs["image_sizes"], strict=True)):
        own = {name: outputs[name][i] for name in outputs if name != "image_sizes"}
        yield sample, own, (int(size[0]), int(size[1]))


def evaluate_samples(
    predict: Callable,
    samples: Iterable[Sample],
    total: int,
    prepare: Callable,
    evaluator: Evaluator,
    batch_size: int = 32,
    description: str = "Evaluating",
):
    """Runs a model over labeled images; shows progress on stderr.

    Args:
        predict: callable, list of at most `batch_size` prepared images -> the model's outputs.

        samples: `data.host_loader.Sample`s. The images may be files, bytes or arrays.

        total: int, number of samples, for the progress bar.

        prepare: callable, uint8 array of shape (height, width, 3) -> an image as `predict` takes it.
            It runs in threads.

        evaluator: `Evaluator`, which collects outputs and labels.

        batch_size: int, images a call. Default: 32.

        description: str, of the progress bar.

    Returns:
        `evaluator.result(skipped)`. Images that cannot be read are skipped, counted, and named in
        one warning.

    Raises:
        ValueError: for a batch size that is not positive, if no image could be read, or if the
            evaluator refuses the outputs.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be positive. Received: batch_size={batch_size}")
    count = 0

    def run(batch: list[Sample], images: list) -> None:
        nonlocal count
        evaluator.update(batch, predict(images))
        count += len(batch)

    skipped = each_batch(run, samples, total, prepare, batch_size, description)
    if not count:
        reason = skipped[0].reason if skipped else "none"
        raise ValueError(f"there must be a readable image. Received: {reason}")
    return evaluator.result(skipped)
