"""A diagnosis of training curves in words, from the numbers alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from newnet_tf.task import Task, get_task
from newnet_tf.training.history import LOSS, TEST, TRAIN, figure_name

SHORT, NOTHING, REVERSAL, OVERFITTING, UNSTABLE, GAP, WELL = (
    "too short to tell",
    "nothing learned",
    "late reversal",
    "overfitting",
    "unstable",
    "gap",
    "well generalized",
)
MIN_EPOCHS = 4
MARGIN = 0.05  # of the best test loss
NOISE = 4.0  # times the roughness
LEARNED = 0.05  # of the first train loss
MAX_GAP = 10.0  # points between train and test metric
LASTING = 0.1  # of the run


@dataclass(frozen=True)
class CurveDiagnosis:
    """What training curves show.

    Args:
        kind: str, one of the names at the top of the module, such as `"overfitting"`.

        epoch: int or None, the epoch where it begins, counted from 1.

        text: str, the same in a sentence or two.
    """

    kind: str
    epoch: int | None
    text: str

    def __str__(self) -> str:
        return self.text


def diagnose_curves(
    history: Sequence[Mapping[str, float]], task: str | Task = "classification"
) -> CurveDiagnosis:
    """Returns the diagnosis of a run's curves.

    Test losses are smoothed first: each is replaced by the median of itself and its neighbors, the
    last one by that of the last three, so that a single outlier has no effect. A difference counts if
    it exceeds the margin: 5 % of the lowest loss, or four times the roughness if that is more (three
    quarters of the test losses lie no further from their smoothed values). The first condition that
    holds is the diagnosis:

    - *too short to tell*: fewer than 4 epochs.
    - *nothing learned*: the lowest train loss is less than 5 % below the first epoch's, and the test
      loss has not fallen by more than the margin either.
    - *overfitting from epoch N*: the last test loss exceeds the lowest, that of epoch N, by more than
      the margin, while the train loss fell since. If the metric improved all the same, the text says
      so. If the train loss did not fall: *unstable*.
    - *late reversal*: the test loss rose more than the margin above its lowest so far and stayed
      there for at least a tenth of the run (two epochs or more), and then fell more than the margin
      below that lowest, in the second half of the run: early stopping would have been wrong.
    - *gap*: a metric in percent is more than 10 points worse on the test split than in training
      (medians of the last three epochs).
    - *well generalized*: none of these.

    Args:
        history: rows with `train_loss`, `test_<metric>`, and, where known, `test_loss` and
            `train_<metric>`. Without test loss its place is taken by the metric.

        task: name of a task, or a `Task`. Default: `"classification"`.

    Returns:
        A `CurveDiagnosis`.
    """
    epochs = len(history)
    if epochs < MIN_EPOCHS:
        return CurveDiagnosis(SHORT, None, f"Too short to tell before epoch {MIN_EPOCHS}.")
    curves = _Curves.of(history, get_task(task))
    trained, tested, margin = curves.train_loss, curves.tested, curves.margin
    low = int(tested.argmin())
    if trained.min() > (1 - LEARNED) * trained[0] and tested[0] - tested[low] <= margin:
        return CurveDiagnosis(
            NOTHING,
            None,
            f"Nothing learned: the train loss stayed at {trained[-1]:.3f}; {curves.ends}.",
        )
    if tested[-1] - tested[low] > margin:
        return _worsened(curves, low)
    turn = _reversal(tested, margin)
    if turn is not None:
        worsened, improved = turn
        return CurveDiagnosis(
            REVERSAL,
            improved + 1,
            f"Late reversal: the {curves.name} had {curves.verbs.worsened} since epoch {worsened + 1} "
            f"and {curves.verbs.improved} to a new {curves.verbs.best} from epoch {improved + 1} on; "
            f"early trends did not last. At the end {curves.ends}.",
        )
    if curves.gap is not None and curves.gap > MAX_GAP:
        return CurveDiagnosis(
            GAP,
            None,
            f"Gap: the model is better on the training images than on others, by {curves.gap:.1f} "
            f"points ({curves.ends}), though the {curves.name} has not {curves.verbs.worsened}: more "
            "augmentation or data may help.",
        )
    return CurveDiagnosis(
        WELL,
        None,
        f"Well generalized: the {curves.name} ends at or near its {curves.verbs.best_value}; "
        f"{curves.ends}.",
    )


def smoothed(values: np.ndarray) -> np.ndarray:
    """Returns running medians of three; the first value stays, the last two are the same median."""
    middle = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    return np.concatenate([values[:1], middle, middle[-1:]])


@dataclass(frozen=True)
class _Verbs:
    """Words for a curve whose best value is its lowest, or its highest."""

    worse: str
    worsened: str
    improved: str
    best: str
    best_value: str


LOWER = _Verbs("rose", "risen", "fell", "low", "lowest")
HIGHER = _Verbs("fell", "fallen", "rose", "high", "highest")


@dataclass(frozen=True, kw_only=True)
class _Curves:
    """The curves of a history.

    Args:
        train_loss: array (epochs,).

        tested: array (epochs,), the smoothed test loss, or the metric; lower is better.

        margin: float, a difference of `tested` that counts.

        name: str, what `tested` is.

        verbs: `_Verbs` of what `tested` is.

        metric: array (epochs,), the metric on the test split, lower is better.

        gap: float or None, how many points worse the metric is on the test split.

        ends: str, the metric at the end.

        task: `Task`.
    """

    train_loss: np.ndarray
    tested: np.ndarray
    margin: float
    name: str
    verbs: _Verbs
    metric: np.ndarray
    gap: float | None
    ends: str
    task: Task

    @classmethod
    def of(cls, history: Sequence[Mapping[str, float]], task: Task) -> "_Curves":
        def column(name):
            return np.array([row[name] for row in history], np.float64)

        sign = 1.0 if task.mode == "min" else -1.0
        metric = sign * column(f"{TEST}{task.metric}")
        has_loss = f"{TEST}{LOSS}" in history[0]
        raw = column(f"{TEST}{LOSS}") if has_loss else metric
        tested = smoothed(raw)
        roughness = float(np.quantile(np.abs(raw - tested), 0.75))
        ends, gap = f"test {_named(task, metric[-1])}", None
        if f"{TRAIN}{task.metric}" in history[0]:
            trained = sign * column(f"{TRAIN}{task.metric}")
            ends += f", train {_named(task, trained[-1])}"
            if task.units.get(task.metric) == "%":
                gap = float(np.median(metric[-3:]) - np.median(trained[-3:]))
        return cls(
            train_loss=column(f"{TRAIN}{LOSS}"),
            tested=tested,
            margin=max(MARGIN * abs(tested.min()), NOISE * roughness),
            name="test loss" if has_loss else f"test {figure_name(task.metric)}",
            verbs=LOWER if has_loss or sign > 0 else HIGHER,
            metric=metric,
            gap=gap,
            ends=ends,
            task=task,
        )


def _named(task: Task, value: float) -> str:
    """Returns the metric's name and value; `value` is the metric, with a minus if higher is better."""
    return f"{figure_name(task.metric)} {_figure(task, value)}"


def _figure(task: Task, value: float) -> str:
    value = value if task.mode == "min" else -value
    return f"{value:.1f} %" if task.units.get(task.metric) == "%" else f"{value:.3f}"


def _worsened(curves: _Curves, low: int) -> CurveDiagnosis:
    """Returns the diagnosis of a test loss that ends above its lowest, that of index `low`."""
    trained, tested, verbs = curves.train_loss, np.abs(curves.tested), curves.verbs
    is_fitting = trained[-1] < trained[low]
    kind = OVERFITTING if is_fitting else UNSTABLE
    text = (
        f"{kind.capitalize()} from epoch {low + 1}: since then the {curves.name} {verbs.worse} from "
        f"{tested[low]:.3f} to {tested[-1]:.3f} "
        f"{'while the train loss fell' if is_fitting else 'and the train loss did not fall'}"
    )
    if curves.metric[-1] < curves.metric[low]:
        better = LOWER if curves.task.mode == "min" else HIGHER
        text += (
            f"; the test {figure_name(curves.task.metric)} {better.improved} all the same, from "
            f"{_figure(curves.task, curves.metric[low])}"
        )
    return CurveDiagnosis(kind, low + 1, f"{text}. At the end {curves.ends}.")


def _reversal(tested: np.ndarray, margin: float) -> tuple[int, int] | None:
    """Returns where the last lasting rise began and where the loss fell below it again, or None."""
    epochs, turn = len(tested), None
    lasting = max(2, round(LASTING * epochs))
    low = 0
    for place in range(1, epochs):
        if tested[place] < tested[low]:
            above = int((tested[low + 1 : place] > tested[low] + margin).sum())
            is_new = tested[place:].min() < tested[low] - margin
            if above >= lasting and is_new and place >= epochs / 2:
                turn = low, place
            low = place
    return turn
