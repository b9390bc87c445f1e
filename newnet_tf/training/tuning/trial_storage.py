"""A study's journal: which trials there are, who works on them, what came out. All of Optuna is here.

Several processes may work on a study. Whoever reads or writes the journal holds the study's lock, and
whoever works on a trial holds that trial's; both are the operating system's, which frees them when a
process is killed. So a trial that is under way, but that nobody holds, is there to be gone on with.
"""

import contextlib
import math
import os
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.training.checkpoint import differences
from newnet_tf.training.tuning.search_space import SearchDimension, kept, points
from newnet_tf.training.tuning.trials import COMPLETE, FAILED, RUNNING, Trial

JOURNAL, TRIALS, NAME, FACTS = "study.journal", "trials", "study", "facts"
GRID, RANDOM, TPE = SAMPLERS = ("grid", "random", "tpe")


@dataclass(frozen=True)
class TrialLease:
    """A trial that is this process's to do, while it holds the lock.

    Args:
        number: int. folder: Path, of its run. values: {field: value}.
        is_begun: bool, whether another process began it.
        lock: held until the trial's end. trial: Optuna's.
    """

    number: int
    folder: Path
    values: dict[str, object]
    is_begun: bool
    lock: object
    trial: object


class TrialStorage:
    """The journal of one study; opens it, or begins it.

    Args:
        folder: Path, the study's.
        dimensions: `SearchDimension`s. sampler: one of `SAMPLERS`.
        planned: int, trials in all, over all processes. seed: int, of the sampler.
        fingerprint: mapping, what must be the same whenever the study goes on.

    Raises:
        ValueError: for a folder that holds another study (it says what differs), or runs without one.
        RuntimeError: where Optuna is not installed.
    """

    def __init__(
        self,
        folder: Path,
        varied: Sequence[SearchDimension],
        sampler: str,
        planned: int,
        seed: int,
        fingerprint: Mapping[str, object],
    ):
        import filelock

        self.optuna = optuna()
        self.folder, self.dimensions, self.planned = folder, varied, planned
        self.sampler, self.seed = sampler, seed
        self.path = folder / JOURNAL
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = filelock.FileLock(folder / ".lock")
        with self.alone():
            self.study = self._opened(fingerprint)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps the study's other processes waiting for a moment."""
        with self.lock:
            _cut(self.path)
            yield

    def claim(self) -> TrialLease | None:
        """Takes a trial: one that a process left behind, else a new one; None if there is none left."""
        with self.alone():
            known = self.study.get_trials(deepcopy=False)
            for trial in known:
                lock = self._held(trial.number) if trial.state.name == "RUNNING" else None
                if lock:
                    return self._claimed(self._left_behind(trial.number), lock, True)
            is_waiting = any(trial.state.name == "WAITING" for trial in known)
            if not is_waiting and len(known) >= self.planned:
                return None
            if not is_waiting and self.sampler == GRID:
                self.study.enqueue_trial(self._point(known))
            self.study.sampler = self._sampler(len(known))
            trial = self.study.ask()
            return self._claimed(trial, self._held(trial.number), False)

    def end(self, claim: TrialLease, value: float | None, **attributes: object) -> None:
        """Writes down how a trial ended.

        Args:
            claim: `TrialLease`. value: float, what is to be least; None for a trial that failed.
            attributes: of `Trial`.
        """
        state = self.optuna.trial.TrialState
        with self.alone():
            for name, found in attributes.items():
                claim.trial.set_user_attr(name, found)
            self.study.tell(
                claim.trial, value, state=state.FAIL if value is None else state.COMPLETE
            )

    def trials(self) -> list[Trial]:
        """Returns all trials that were begun."""
        states = {"COMPLETE": COMPLETE, "FAIL": FAILED, "RUNNING": RUNNING}
        return [
            Trial(
                number=trial.number,
                values=self._values(trial.params),
                state=states[trial.state.name],
                **trial.user_attrs,
            )
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.name in states
        ]

    def _opened(self, fingerprint: Mapping[str, object]):
        """Returns Optuna's study, new or as it was left."""
        if not self.path.exists() and (self.folder / TRIALS).exists():
            raise ValueError(
                f"a study must have a folder of its own. Received: {self.folder}, which holds "
                f"{TRIALS}/ and no {JOURNAL}"
            )
        journal = self.optuna.storages.journal
        backend = journal.JournalFileBackend(str(self.path), lock_obj=self.lock)
        self.storage = journal.JournalStorage(backend)
        is_begun = NAME in self.optuna.get_all_study_names(self.storage)
        opened = self.optuna.load_study if is_begun else self.optuna.create_study
        study = opened(storage=self.storage, study_name=NAME)
        if FACTS not in study.user_attrs:
            study.set_user_attr(FACTS, dict(fingerprint))
        differing = differences(study.user_attrs[FACTS], fingerprint)
        if differing:
            raise ValueError(
                f"a study must go on with the settings it began with; {self.folder} has others. "
                f"Received: {'; '.join(differing)}"
            )
        return study

    def _held(self, number: int):
        """Returns the lock of a trial, or None where another process works on it."""
        import filelock

        path = self.folder / TRIALS / f".{number:04d}.lock"
        path.parent.mkdir(exist_ok=True)
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return lock

    def _left_behind(self, number: int):
        """Returns Optuna's handle of a trial that another process began."""
        study = self.storage.get_study_id_from_name(NAME)
        self.study.sampler = self._sampler(number)
        return self.optuna.trial.Trial(
            self.study, self.storage.get_trial_id_from_study_id_trial_number(study, number)
        )

    def _claimed(self, trial, lock, is_begun: bool) -> TrialLease:
        """Has a trial draw its values, those that it has not got yet."""
        params = {one.name: one.suggested(trial) for one in self.dimensions}
        folder = self.folder / TRIALS / f"{trial.number:04d}"
        return TrialLease(trial.number, folder, self._values(params), is_begun, lock, trial)

    def _values(self, params: Mapping[str, object]) -> dict[str, object]:
        return {
            one.name: one.value(params[one.name]) for one in self.dimensions if one.name in params
        }

    def _sampler(self, number: int):
        """Returns the sampler of one trial: what it draws does not hang on which process asks."""
        samplers, seed = self.optuna.samplers, self.seed + number
        if self.sampler != TPE:
            return samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            # trials under way count as bad ones, so that processes keep apart
            return samplers.TPESampler(seed=seed, constant_liar=True)

    def _point(self, known) -> dict[str, object]:
        """Returns a point of the grid that no trial has, in an order drawn by the seed."""
        taken = [trial.system_attrs["fixed_params"] for trial in known]
        every = [
            {name: kept(value) for name, value in point.items()}
            for point in points(self.dimensions)
        ]
        random.Random(self.seed).shuffle(every)
        return next(point for point in every if point not in taken)


def chosen(
    varied: Sequence[SearchDimension], sampler: str | None, planned: int | None
) -> tuple[str, int]:
    """Returns sampler and number of trials of a study, by default a grid's if it is one.

    Raises:
        ValueError: for an unknown sampler, a grid with a range, trials that are not positive, missing
            or more than a grid has.
    """
    size = math.prod(len(one.choices) for one in varied)  # 0: one has a range
    sampler = sampler or (GRID if size else TPE)
    if sampler not in SAMPLERS:
        raise ValueError(f"`sampler` must be among {SAMPLERS}. Received: {sampler!r}")
    if sampler == GRID and not size:
        spans = ", ".join(str(one) for one in varied if not one.choices)
        raise ValueError(f"a grid must have choices for every field. Received: {spans}")
    if planned is None and sampler == GRID:
        return sampler, size
    if planned is None or planned < 1 or (sampler == GRID and planned > size):
        most = f", up to the grid's {size}" if sampler == GRID else ""
        raise ValueError(
            f"`trials` (--trials) must be a positive number{most}. Received: {planned}"
        )
    return sampler, planned


def optuna():
    """Returns Optuna, which is told to speak of warnings only.

    Raises:
        RuntimeError: where it is not installed.
    """
    try:
        import optuna as found
    except ImportError as error:
        raise RuntimeError(
            f"a study needs Optuna: pip install 'newnet_tf[study]'. Received: {error}"
        ) from error
    found.logging.set_verbosity(found.logging.WARNING)
    return found


def _cut(path: Path) -> None:
    """Cuts off a journal's last line if whoever wrote it was ended in the middle of it."""
    text = path.read_bytes() if path.exists() else b""
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(path, whole)
