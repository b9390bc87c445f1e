"""Assigns a checkpoint's tensors to a model's variables, strictly both ways.

`match` pairs them. Every tensor must be used, every variable filled, every shape equal; the exceptions
are listed in `assign_weights`. Nothing is assigned before everything has been checked, and the error
names the model that the file would fit.
"""

import itertools
import math
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from newnet_tf.models.config import Card, CheckpointFormat
from newnet_tf.utils.progress import note
from newnet_tf.weights import CheckpointError, LoadTarget, match
from newnet_tf.weights.match import Plan
from newnet_tf.weights.reader import Checkpoint

MAX_CLASSES = 100_000
SHOWN = 10
CANDIDATES = 3
UNKNOWN_SIZE = 0.05
SHARD = re.compile(r"-\d{5}-of-(\d{5})\.")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of `assign_weights`.

    Args:
        format: str, name of the checkpoint's format.

        tensors: int, number of tensors that were assigned.

        skipped: tuple of str, tensors and entries of the file that are not needed.

        newly_initialized: tuple of str, layers that keep their random initialization. With any of
            them the model is not trained.

        state_dict: str, keys and prefixes before the tensors' names in the file, such as
            `"model_ema/module"`. Default: `""`, none.
    """

    format: str
    tensors: int
    skipped: tuple[str, ...]
    newly_initialized: tuple[str, ...]
    state_dict: str = ""


def assign_weights(
    model,
    checkpoint: Checkpoint,
    target: LoadTarget,
    others: Iterable[Callable[[], LoadTarget]] = (),
    new_classifier: bool = True,
    state_dict: str | None = None,
) -> Report:
    """Assigns a checkpoint's tensors to the variables of a model.

    Every tensor must be used, every variable filled, every shape equal. Only these are skipped:
    PyTorch's `num_batches_tracked`; tensors of the head where the model has none, and of an auxiliary
    head; tensors beside the dictionary or below another prefix than the model's; and, where the
    numbers of classes differ, the layers in `target.classifiers`, which stay newly initialized.

    Args:
        model: `keras.Model` of `target`, with or without top, of any number of classes.

        checkpoint: `Checkpoint`, see `reader.read`.

        target: `LoadTarget` of the model.

        others: iterable of callables returning the `LoadTarget`s of other models, for the error to
            name the one that fits. Default: none.

        new_classifier: bool, whether another number of classes is allowed. Default: True.

        state_dict: str, where in the file the weights are, such as `"model_ema"`, see `places`.
            Default: where the names fit, averaged weights before others.

    Returns:
        `Report`.

    Raises:
        CheckpointError: if anything is left over on either side; the model is then unchanged.
    """
    plan = match.plan(model, checkpoint, target, state_dict)
    mismatches = plan.shape_mismatches
    newly_initialized = _newly_initialized(plan, target) if new_classifier else ()
    if newly_initialized:
        plan.skipped += [mismatch.tensor for mismatch in mismatches]
        plan.matches = [pair for pair in plan.matches if pair.exact]
    if not plan.complete:
        raise CheckpointError(_error_text(plan, checkpoint, target, others))
    for pair in plan.matches:
        pair.variable.assign(pair.value)
    if plan.place.others and state_dict is None:
        others = ", ".join(map(repr, plan.place.others))
        note(f"{checkpoint.path.name}: took the weights {plan.place.name!r}, not {others}")
    if newly_initialized:
        first, last = repr(newly_initialized[0]), repr(newly_initialized[-1])
        layers = f"Layer {first} is" if first == last else f"Layers {first} to {last} are"
        theirs, ours = (
            _classes(shape[-1], mismatches[0].layer, target)
            for shape in (mismatches[0].value.shape, mismatches[0].variable.shape)
        )
        text = f"{checkpoint.path.name!r} has {theirs} classes, the model {ours}."
        warnings.warn(f"{layers} newly initialized: {text}", stacklevel=2)
    return Report(
        format=plan.format.name,
        tensors=len(plan.matches),
        skipped=(*checkpoint.skipped, *plan.skipped),
        newly_initialized=newly_initialized,
        state_dict=plan.place.name,
    )


def classes_in(
    checkpoint: Checkpoint, target: LoadTarget, state_dict: str | None = None
) -> int | None:
    """Returns the number of classes of a checkpoint's classifier, or None if it has none.

    Raises:
        CheckpointError: for a classifier of no class, or of more than `MAX_CLASSES`.
    """
    kernel = _classifier_kernel(checkpoint, target, state_dict)
    if kernel is None:
        return None
    classes, size = kernel
    if size == 0 or not 1 <= classes <= MAX_CLASSES:
        expected = f"a checkpoint of {target.card.name!r} with 1 to {MAX_CLASSES:,} classes"
        problem = f"its classifier has {classes:,} and {size:,} weights"
        raise CheckpointError.about(checkpoint.path, expected, problem)
    return classes


def channels_in(
    checkpoint: Checkpoint, target: LoadTarget, state_dict: str | None = None
) -> int | None:
    """Returns the number of input channels of a checkpoint's first convolution, or None."""
    for known, place in match.formats_by_fit(checkpoint, target, state_dict):
        stem = match.stem_layer(known.layers)
        kernel = _kernel(checkpoint, known, place, stem)
        if kernel is not None and kernel.ndim == 4:
            return kernel.shape[2 if known.layout == "keras" else 1]
    return None


def _classifier_kernel(
    checkpoint: Checkpoint, target: LoadTarget, state_dict: str | None = None
) -> tuple[int, int] | None:
    """Returns classes and size of the classifier's kernel, or None."""
    for known, place in match.formats_by_fit(checkpoint, target, state_dict):
        layer = next(iter(target.classifiers))
        kernel = _kernel(checkpoint, known, place, layer)
        if kernel is not None and kernel.ndim >= 2:
            channels = kernel.shape[-1 if known.layout == "keras" else 0]
            return _classes(channels, layer, target), kernel.size
    return None


def _classes(channels: int, layer: str, target: LoadTarget) -> int:
    """Returns the number of classes of a layer with so many channels; 0 where they do not fit."""
    columns, rest = divmod(channels, target.classifiers[layer])
    return 0 if rest else max(columns - target.background, 0)


def _kernel(checkpoint: Checkpoint, known: CheckpointFormat, place, layer: str | None):
    """Returns the kernel of a layer as it is in the file, or None."""
    prefix = f"{known.layers.get(layer)}{match.SEPARATORS[known.layout]}"
    leaves = ("kernel", "0", "weights") if known.layout == "keras" else ("weight",)
    names = (place.tensors.get(f"{prefix}{leaf}") for leaf in leaves)
    name = next((name for name in names if name is not None), None)
    return None if name is None else checkpoint.tensors[name]


def _newly_initialized(plan: Plan, target: LoadTarget) -> tuple[str, ...]:
    """Returns the classifiers if nothing but their number of classes differs, else nothing."""
    mismatches = plan.shape_mismatches
    same_inputs = all(
        pair.layer in target.classifiers
        and pair.value.shape[:-1] == tuple(pair.variable.shape[:-1])
        for pair in mismatches
    )
    whole_layers = sum(pair.layer in target.classifiers for pair in plan.matches) == len(mismatches)
    if not mismatches or not same_inputs or not whole_layers:
        return ()
    counts = {_classes((0, *pair.value.shape)[-1], pair.layer, target) for pair in mismatches}
    return tuple(dict.fromkeys(pair.layer for pair in mismatches)) if len(counts) == 1 else ()


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
    shard = SHARD.search(checkpoint.path.name)
    if shard:
        lines.append(f"The file is one of {int(shard[1])} shards: pass the .index.json beside it.")
    elif _other_channels(plan, target):
        lines.append(_other_channels(plan, target))
    elif plan.matches and plan.unfilled and set(plan.unfilled.values()) == set(target.head):
        lines.append("The file holds a backbone without its head: it fits with include_top=False.")
    else:
        lines.append(_nearest(checkpoint, others))
    return "\n  ".join(filter(None, lines)) + f"\nReceived: weights={str(checkpoint.path)!r}"


def _other_channels(plan: Plan, target: LoadTarget) -> str:
    """Returns the sentence for a file that differs in the number of image channels alone, else ""."""
    differ = [pair for pair in plan.shape_mismatches if pair.layer not in target.classifiers]
    if len(differ) != 1 or differ[0].layer != match.stem_layer(plan.format.layers):
        return ""
    ours, theirs = tuple(differ[0].variable.shape), differ[0].value.shape
    if len(ours) != len(theirs) or len(ours) != 4 or ours[2] == theirs[2]:
        return ""
    return (
        f"The file's first convolution takes images of {theirs[2]} channel(s), the model's {ours[2]}: "
        f"build the model with input_shape=(height, width, {theirs[2]})."
    )


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
        classes, _ = _classifier_kernel(checkpoint, target) or (target.card.classes, 0)
        if not 1 <= classes <= MAX_CLASSES:
            continue
        model = target.build(classes)
        plan = match.plan(model, checkpoint, target)
        headless = set(plan.unfilled.values()) <= set(target.head)
        differ = [] if _other_channels(plan, target) else plan.shape_mismatches
        if plan.matches and headless and not (plan.unused or differ):
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
    size += kernel * usual // max(classes, 1) - kernel
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
    pairs = match.formats_by_fit(checkpoint, target)
    return max(_name_overlap(known, place) for known, place in pairs)


def _name_overlap(known: CheckpointFormat, place) -> float:
    prefixes = [match.split(name, known.layout)[0] for name in place.tensors]
    modules = set(known.layers.values())
    used = sum(prefix in modules for prefix in prefixes) / max(len(prefixes), 1)
    present = len(modules.intersection(prefixes)) / max(len(modules), 1)
    return min(used, present)
