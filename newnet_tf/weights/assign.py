"""Maps a checkpoint's tensors to a model's variables, strictly both ways.

`match` pairs them; here the pairs are judged. Every tensor must be used, every variable filled,
every shape equal; what may be skipped is written down in `fill`. Nothing is assigned before
everything has been checked, and an error names the network that the file would fit.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from newnet_tf.models.config import Card, CheckpointFormat
from newnet_tf.weights import CheckpointError, Target, match
from newnet_tf.weights.match import Plan
from newnet_tf.weights.reader import Checkpoint

CLASSIFIER = "classifier"
SHOWN = 10
CANDIDATES = 3
UNKNOWN_SIZE = 0.05


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `fill` did.

    Args:
        naming: str, the kind of checkpoint. tensors: int, how many were assigned.
        skipped: names of tensors and entries of the file that were not needed.
        fresh: names of layers that keep their initial values.
    """

    naming: str
    tensors: int
    skipped: tuple[str, ...]
    fresh: tuple[str, ...]


def fill(
    model,
    checkpoint: Checkpoint,
    target: Target,
    others: Iterable[Callable[[], Target]] = (),
    fresh_classifier: bool = True,
) -> Report:
    """Assigns a checkpoint's tensors to the variables of `model`.

    Every tensor must be used, every variable filled, every shape equal. Only these are skipped:
    PyTorch's `num_batches_tracked`; tensors of the head where the model has none; and, where the
    numbers of classes differ, the layer `classifier`, which keeps its initial values.

    Args:
        model: Keras model of `target`'s network, with or without top, of any number of classes.
        checkpoint: what `checkpoint.read` gave.
        target: `Target` of the network.
        others: callables returning the `Target`s of other networks, to name the one that fits.
        fresh_classifier: bool; False makes another number of classes an error.

    Returns:
        `Report`.

    Raises:
        CheckpointError: if anything is left over on either side; the model is then unchanged.
    """
    plan = match.plan(model, checkpoint, target)
    fresh = _fresh(plan) if fresh_classifier else ()
    if fresh:
        plan.skipped += [fit.tensor for fit in plan.shape_mismatches]
        theirs, ours = (
            plan.shape_mismatches[0].value.shape[-1],
            plan.shape_mismatches[0].variable.shape[-1],
        )
        plan.fits = [fit for fit in plan.fits if fit.exact]
    if not plan.complete:
        raise CheckpointError(_complaint(plan, checkpoint, target, others))
    for fit in plan.fits:
        fit.variable.assign(fit.value)
    if fresh:
        warnings.warn(
            f"Layer {CLASSIFIER!r} keeps its initial values: {checkpoint.path.name!r} has {theirs} "
            f"classes, the model {ours}.",
            stacklevel=2,
        )
    return Report(
        naming=plan.naming.name,
        tensors=len(plan.fits),
        skipped=(*checkpoint.skipped, *plan.skipped),
        fresh=fresh,
    )


def classes_in(checkpoint: Checkpoint, target: Target) -> int | None:
    """Returns the number of classes of a checkpoint's classifier, or None if it has none."""
    kernel = _classifier_kernel(checkpoint, target)
    return None if kernel is None else kernel[0]


def _classifier_kernel(checkpoint: Checkpoint, target: Target) -> tuple[int, int] | None:
    """Returns classes and size of the classifier's kernel, or None."""
    for naming in (*target.checkpoint_formats, match.own([CLASSIFIER])):
        prefix = f"{naming.layers.get(CLASSIFIER)}{match.SEPARATORS[naming.style]}"
        leaves = ("kernel", "0") if naming.style == "keras" else ("weight",)
        for leaf in leaves:
            kernel = checkpoint.tensors.get(f"{prefix}{leaf}")
            if kernel is not None and kernel.ndim >= 2:
                return kernel.shape[-1 if naming.style == "keras" else 0], kernel.size
    return None


def _fresh(plan: Plan) -> tuple[str, ...]:
    """Returns the classifier if nothing but its number of classes differs, else nothing."""
    shape_mismatches = plan.shape_mismatches
    sound = all(
        fit.layer == CLASSIFIER and fit.value.shape[:-1] == tuple(fit.variable.shape[:-1])
        for fit in shape_mismatches
    )
    whole = sum(fit.layer == CLASSIFIER for fit in plan.fits) == len(shape_mismatches)
    one_count = len({fit.value.shape[-1:] for fit in shape_mismatches}) == 1
    return (CLASSIFIER,) if shape_mismatches and sound and whole and one_count else ()


def _complaint(plan: Plan, checkpoint: Checkpoint, target: Target, others) -> str:
    total = len(checkpoint.tensors)
    fitting = sum(fit.exact for fit in plan.fits)
    requirement = "every tensor used, every variable filled, every shape equal"
    lines = [
        f"`weights` must fit {target.card.name!r}: {requirement}.",
        f"Read as {plan.naming.name!r}, {fitting} of the file's {total} tensors fit.",
        _listed("tensors of the file that the model has no variable for", plan.unused),
        _listed("variables of the model that the file does not fill", list(plan.unfilled)),
        _listed(
            "shapes that differ (in Keras layout)", [str(fit) for fit in plan.shape_mismatches]
        ),
    ]
    if plan.fits and plan.unfilled and set(plan.unfilled.values()) == set(target.head):
        lines.append("The file holds a backbone without its head: it fits with include_top=False.")
    else:
        lines.append(_nearest(checkpoint, others))
    return "\n  ".join(filter(None, lines)) + f"\nReceived: weights={str(checkpoint.path)!r}"


def _listed(title: str, names: list[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {title}" + (f": {', '.join(names[:SHOWN])}{more}" if names else "")


def _nearest(checkpoint: Checkpoint, others) -> str:
    """Names the network that a checkpoint fits, or fits best; builds a few at most."""
    known = [target() for target in others]
    ranked = sorted(known, key=lambda target: _rank(checkpoint, target))
    likely = [target for target in ranked if _coverage(checkpoint, target) >= 0.5]
    best, most = None, 0
    for target in itertools.islice(likely, CANDIDATES):
        model = target.build(classes_in(checkpoint, target) or target.card.classes)
        plan = match.plan(model, checkpoint, target)
        headless = set(plan.unfilled.values()) <= set(target.head)
        if plan.fits and headless and not (plan.unused or plan.shape_mismatches):
            return f"It fits {target.card.name!r}."
        fitting = sum(fit.exact for fit in plan.fits)
        if fitting > most:
            best, most = target.card.name, fitting
    if best is None:
        return "No other model of the zoo has tensors of these names." if known else ""
    return f"Nearest in the zoo: {best!r}, which {most} of {len(checkpoint.tensors)} tensors fit."


def _rank(checkpoint: Checkpoint, target: Target) -> tuple[float, float]:
    """Sorts networks: best coverage of names first, then the nearest size."""
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
    """Returns a network's parameters as measured, else as claimed, else None."""
    for rows in card.measured.values():
        for row in rows:
            if row.get("params"):
                return float(row["params"])
    return card.reported.params * 1e6 if card.reported and card.reported.params else None


def _coverage(checkpoint: Checkpoint, target: Target) -> float:
    """Returns the share of tensors and modules that meet by name, under the best naming."""
    if not target.checkpoint_formats:  # before it is built, only its classifier's name is known
        return 1.0 if _classifier_kernel(checkpoint, target) else 0.0
    ours = match.own(name for naming in target.checkpoint_formats for name in naming.layers)
    return max(_met(checkpoint, naming) for naming in (*target.checkpoint_formats, ours))


def _met(checkpoint: Checkpoint, naming: CheckpointFormat) -> float:
    prefixes = [match.split(name, naming.style)[0] for name in checkpoint.tensors]
    modules = set(naming.layers.values())
    used = sum(prefix in modules for prefix in prefixes) / len(prefixes)
    found = len(modules.intersection(prefixes)) / max(len(modules), 1)
    return min(used, found)
