"""Training curves in plain words, from the numbers alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

SHORT, NOTHING, REVERSAL, OVERFITTING, UNSTABLE, GAP, WELL = (
    "too short to tell",
    "nothing learned",
    "late reversal",
    "overfitting",
    "unstable",
    "gap",
    "well generalized",
)
FEWEST = 4  # epochs
MARGIN = 0.05  # of the lowest test loss
NOISE = 4.0  # times the roughness
LEARNED = 0.05  # of the first train loss
POINTS = 10.0  # between test and train error
LASTING = 0.1  # of the run


@dataclass(frozen=True)
class CurveDiagnosis:
    """What curves say.

    Args:
        kind: one of the module's names. epoch: int, counted from 1, where it begins, or None.
        text: str, the same in a sentence or two.
    """

    kind: str
    epoch: int | None
    text: str

    def __str__(self) -> str:
        return self.text


def diagnose_curves(history: Sequence[Mapping[str, float]]) -> CurveDiagnosis:
    """Reads the curves of a run.

    Test losses are smoothed first: each becomes the median of itself and its neighbors, the last
    one that of the last three, so that one odd epoch decides nothing. A difference counts if it is
    more than the margin: 5 % of the lowest loss, or four times the roughness if that is more (three
    quarters of the test losses lie no further from their smoothed ones). The first that holds is the
    reading:

    - *too short to tell*: fewer than 4 epochs.
    - *nothing learned*: the lowest train loss is less than 5 % below the first epoch's, and the test
      loss has not fallen by more than the margin either.
    - *overfitting from epoch N*: the last test loss is more than the margin above the lowest, which
      was at epoch N, while the train loss fell since. If the test error fell all the same, the text
      says so.
    - *late reversal*: the test loss rose more than the margin above its lowest so far and stayed
      there for at least a tenth of the run (two epochs or more), and then fell more than the margin
      below that lowest, in the second half of the run: who had stopped early would have been wrong.
    - *gap*: the test error lies more than 10 points above the train error (medians of the last
      three epochs).
    - *well generalized*: none of these.

    Args:
        history: mappings with `train_loss`, `test_loss`, `train_error`, `test_error` (errors in per
            cent), one an epoch.

    Returns:
        A `CurveDiagnosis`.
    """
    epochs = len(history)
    if epochs < FEWEST:
        return CurveDiagnosis(SHORT, None, f"Too short to tell before epoch {FEWEST}.")
    trained, raw, train_error, error = (
        np.array([row[name] for row in history], np.float64)
        for name in ("train_loss", "test_loss", "train_error", "test_error")
    )
    tested = smoothed(raw)
    roughness = float(np.quantile(np.abs(raw - tested), 0.75))
    margin = max(MARGIN * tested.min(), NOISE * roughness)
    low = int(tested.argmin())
    ends = f"test error {error[-1]:.1f} %, train error {train_error[-1]:.1f} %"
    if trained.min() > (1 - LEARNED) * trained[0] and tested[0] - tested[low] <= margin:
        return CurveDiagnosis(
            NOTHING, None, f"Nothing learned: the train loss stayed at {trained[-1]:.3f}; {ends}."
        )
    if tested[-1] - tested[low] > margin:
        return _risen(trained, tested, error, low, ends)
    turn = _reversal(tested, margin)
    if turn is not None:
        risen, fell = turn
        return CurveDiagnosis(
            REVERSAL,
            fell + 1,
            f"Late reversal: the test loss had risen since epoch {risen + 1} and fell to a new low "
            f"from epoch {fell + 1} on; early trends did not last. At the end {ends}.",
        )
    gap = float(np.median(error[-3:]) - np.median(train_error[-3:]))
    if gap > POINTS:
        return CurveDiagnosis(
            GAP,
            None,
            f"Gap: the network knows the training images better than others, by {gap:.1f} points "
            f"({ends}), though the test loss has not risen: more augmentation or data may help.",
        )
    return CurveDiagnosis(
        WELL, None, f"Well generalized: the test loss ends at or near its lowest; {ends}."
    )


def best_epoch(history: Sequence[Mapping[str, float]]) -> int:
    """Returns the place of the epoch with the lowest test error, the earliest of equals."""
    return min(range(len(history)), key=lambda place: history[place]["test_error"])


def smoothed(values: np.ndarray) -> np.ndarray:
    """Returns running medians of three; the first value stays, the last two are the same median."""
    middle = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0)
    return np.concatenate([values[:1], middle, middle[-1:]])


def _risen(trained, tested, error, low: int, ends: str) -> CurveDiagnosis:
    """Reads curves whose test loss ends above its lowest, at `low`."""
    is_fitting = trained[-1] < trained[low]
    kind = OVERFITTING if is_fitting else UNSTABLE
    text = (
        f"{kind.capitalize()} from epoch {low + 1}: since then the test loss rose from "
        f"{tested[low]:.3f} to {tested[-1]:.3f} "
        f"{'while the train loss fell' if is_fitting else 'and the train loss did not fall'}"
    )
    if error[-1] < error[low]:
        text += f"; the test error fell all the same, from {error[low]:.1f} %"
    return CurveDiagnosis(kind, low + 1, f"{text}. At the end {ends}.")


def _reversal(tested: np.ndarray, margin: float) -> tuple[int, int] | None:
    """Returns where the last lasting rise began and where the loss fell below it again, or None."""
    epochs, found = len(tested), None
    lasting = max(2, round(LASTING * epochs))
    low = 0
    for place in range(1, epochs):
        if tested[place] < tested[low]:
            above = int((tested[low + 1 : place] > tested[low] + margin).sum())
            is_new = tested[place:].min() < tested[low] - margin
            if above >= lasting and is_new and place >= epochs / 2:
                found = low, place
            low = place
    return found
