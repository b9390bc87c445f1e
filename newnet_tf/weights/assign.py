"""Assigns a checkpoint's tensors to a model's variables, strictly both ways.

`match` pairs them. Every tensor must be used, every variable filled, every shape equal; the exceptions
are listed in `assign_weights`. Nothing is assigned before everything has been checked, and the error
names the model that the file would fit.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from newnet_tf.models.config import Card, CheckpointFormat
from newnet_tf.weights import CheckpointError, LoadTarget, match
from newnet_tf.weights.match import Plan
from newnet_tf.weights.reader import Checkpoint

CLASSIFIER = "classifier"
SHOWN = 10
CANDIDATES = 3
UNKNOWN_SIZE = 0.05


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of `assign_weights`.

    Args:
        format: str, name of the checkpoint's format.

        tensors: int, number of tensors that were assigned.

        skipped: tuple of str, tensors and entries of the file that are not needed.

        newly_initialized: tuple of str, layers that keep their random initialization.
    """

    format: str
    tensors: int
    skipped: tuple[str, ...]
    newly_initialized: tuple[str, ...]


def assign_weights(
    model,
    checkpoint: Checkpoint,
    target: LoadTarget,
    others: Iterable[Callable[[], LoadTarget]] = (),
    new_classifier: bool = True,
) -> Report:
    """Assigns a checkpoint's tensors to the variables of a model.

    Every tensor must be used, every variable filled, every shape equal. Only these are skipped:
    PyTorch's `num_batches_tracked`; tensors of the head where the model has none; and, where the
    numbers of classes differ, the layer `classifier`, which stays newly initialized.

    Args:
        model: `keras.Model` of `target`, with or without top, of any number of classes.

        checkpoint: `Checkpoint`, see `reader.read`.

        target: `LoadTarget` of the model.

        others: iterable of callables returning the `LoadTarget`s of other models, for the error to
            name the one that fits. Default: none.

        new_classifier: bool, whether another number of classes is allowed. Default: True.

    Returns:
        `Report`.

    Raises:
        CheckpointError: if anything is left over on either side; the model is then unchanged.
    """
    plan = match.plan(model, checkpoint, target)
    mismatches = plan.shape_mismatches
    newly_initialized = _newly_initialized(plan) if new_classifier else ()
    if newly_initialized:
        plan.skipped += [mismatch.tensor for mismatch in mismatches]
        plan.matches = [pair for pair in plan.matches if pair.exact]
    if not plan.complete:
        raise CheckpointError(_error_text(plan, checkpoint, target, others))
    for pair in plan.matches:
        pair.variable.assign(pair.value)
    if newly_initialized:
        warnings.warn(
            f"Layer {CLASSIFIER!r} is newly initialized: {checkpoint.path.name!r} has "
            f"{mismatches[0].value.shape[-1]} classes, the model {mismatches[0].variable.shape[-1]}.",
            stacklevel=2,
        )
    return Report(
        format=plan.format.name,
        tensors=len(plan.matches),
        skipped=(*checkpoint.skipped, *plan.skipped),
        newly_initialized=newly_initialized,
    )


def classes_in(checkpoint: Checkpoint, target: LoadTarget) -> int | None:
    """Returns the number of classes of a checkpoint's classifier, or None if it has none."""
    kernel = _classifier_kernel(checkpoint, target)
    return None if kernel is None else kernel[0]


def _classifier_kernel(checkpoint: Checkpoint, target: LoadTarget) -> tuple[int, int] | None:
    """Returns classes and size of the classifier's kernel, or None."""
    for known in (*target.checkpoint_formats, match.own_format([CLASSIFIER])):
        prefix = f"{known.layers.get(CLASSIFIER)}{match.SEPARATORS[known.layout]}"
        leaves = ("kernel", "0") if known.layout == "keras" else ("weight",)
        for leaf in leaves:
            kernel = checkpoint.tensors.get(f"{prefix}{leaf}")
            if kernel is not None and kernel.ndim >= 2:
                return kernel.shape[-1 if known.layout == "keras" else 0], kernel.size
    return None


def _newly_initialized(plan: Plan) -> tuple[str, ...]:
    """Returns the classifier if nothing but its number of classes differs, else nothing."""
    mismatches = plan.shape_mismatches
    same_inputs = all(
        pair.layer == CLASSIFIER and pair.value.shape[:-1] == tuple(pair.variable.shape[:-1])
        for pair in mismatches
    )
    whole_layer = sum(pair.layer == CLASSIFIER for pair in plan.matches) == len(mismatches)
    one_count = len({pair.value.shape[-1:] for pair in mismatches}) == 1
    return (CLASSIFIER,) if mismatches and same_inputs and whole_layer and one_count else ()


def _error_text(plan: Plan, checkpoint: Checkpoint, target: LoadTarget, others) -> str:
    total = len(checkpoint.tensors)
    fitting = sum(pair.exact for pair in plan.matches)
    requirement = "every tensor used, every variable filled, every shape equal"
    lines = [
        f"`weights` must fit {target.card.name!r}: {requirement}.",
        f"Read as {plan.format.name!r}, {fitting} of the file's {total} tensors fit.",
        _listed("tensors of the file that the model has no variable for", plan.unused),
        _listed("variables of the model that the file does not fill", list(plan.unfilled)),
        _listed("shapes that differ (in Keras layout)", list(map(str, plan.shape_mismatches))),
    ]
    if plan.matches and plan.unfilled and set(plan.unfilled.values()) == set(target.head):
        lines.append("The file holds a backbone without its head: it fits with include_top=False.")
    else:
        lines.append(_nearest(checkpoint, others))
    return "\n  ".join(filter(None, lines)) + f"\nReceived: weights={str(checkpoint.path)!r}"


def _listed(title: str, names: list[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {title}" + (f": {', '.join(names[:SHOWN])}{more}" if names else "")


def _nearest(checkpoint: Checkpoint, others) -> str:
    """Returns the sentence that names the model that a checkpoint fits, or fits best.

    At most `CANDIDATES` models are built.
    """
    known = [target() for target in others]
    ranked = sorted(known, key=lambda target: _rank(checkpoint, target))
    likely = [target for target in ranked if _coverage(checkpoint, target) >= 0.5]
    best, most = None, 0
    for target in itertools.islice(likely, CANDIDATES):
        model = target.build(classes_in(checkpoint, target) or target.card.classes)
        plan = match.plan(model, checkpoint, target)
        headless = set(plan.unfilled.values()) <= set(target.head)
        if plan.matches and headless and not (plan.unused or plan.shape_mismatches):
            return f"It fits {target.card.name!r}."
        fitting = sum(pair.exact for pair in plan.matches)
        if fitting > most:
            best, most = target.card.name, fitting
    if best is None:
        return "No other model of the zoo has tensors of these names." if known else ""
    return f"Nearest in the zoo: {best!r}, which {most} of {len(checkpoint.tensors)} tensors fit."


def _rank(checkpoint: Checkpoint, target: LoadTarget) -> tuple[float, float]:
    """Key that sorts models: best coverage of names first, then the nearest size."""
    size = sum(
        tensor.size
        for name, tensor in checkpoint.tensors.items()
        if not name.endswith(("running_mean", "running_var", "moving_mean", "moving_variance"))
    )
    usual = target.card.classes
    classes, kernel = _classifier_kernel(checkpoint, target) or (usual, 0)
    size += kernel * usual // classes - kernel
    params = _params(target.card)
    distance = UNKNOWN_SIZE if params is None else abs(math.log(params / max(size, 1)))
    return -_coverage(checkpoint, target), distance


def _params(card: Card) -> float | None:
    """Returns a model's parameters as measured, else as reported, else None."""
    for rows in card.measured.values():
        for row in rows:
            if row.get("params"):
                return float(row["params"])
    return card.reported.params * 1e6 if card.reported and card.reported.params else None


def _coverage(checkpoint: Checkpoint, target: LoadTarget) -> float:
    """Returns the share of tensors and modules whose names match, in the best format."""
    if not target.checkpoint_formats:  # before it is built, only its classifier's name is known
        return 1.0 if _classifier_kernel(checkpoint, target) else 0.0
    layers = (name for known in target.checkpoint_formats for name in known.layers)
    known_formats = (*target.checkpoint_formats, match.own_format(layers))
    return max(_name_overlap(checkpoint, known) for known in known_formats)


def _name_overlap(checkpoint: Checkpoint, checkpoint_format: CheckpointFormat) -> float:
    layout = checkpoint_format.layout
    prefixes = [match.split(name, layout)[0] for name in checkpoint.tensors]
    modules = set(checkpoint_format.layers.values())
    used = sum(prefix in modules for prefix in prefixes) / len(prefixes)
    present = len(modules.intersection(prefixes)) / max(len(modules), 1)
    return min(used, present)
