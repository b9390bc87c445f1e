"""Storage of a hyperparameter search: its trials, who works on them, their results, in Optuna.

Several processes may work on a search. Whoever reads or writes the journal holds the search's lock, and
whoever works on a trial holds that trial's lock. The operating system releases the locks of a killed
process, so a running trial that nobody holds was interrupted and can be resumed.
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
from newnet_tf.training.tuning.search_space import SearchDimension, grid_points, storable
from newnet_tf.training.tuning.trials import COMPLETE, FAILED, RUNNING, Trial

JOURNAL, TRIALS, NAME, FINGERPRINT = "trials.journal", "trials", "tuning", "fingerprint"
GRID, RANDOM, TPE = SAMPLERS = ("grid", "random", "tpe")


@dataclass(frozen=True)
class TrialLease:
    """A trial that this process may work on while it holds the lock.

    Args:
        number: int.

        folder: path of its run.

        values: mapping from field to value.

        is_resumed: bool, whether another process began it.

        lock: file lock, held until the trial's end.

        trial: Optuna's trial.
    """

    number: int
    folder: Path
    values: dict[str, object]
    is_resumed: bool
    lock: object
    trial: object


class TrialStorage:
    """The journal of one search; loads it, or creates it.

    Args:
        folder: path of the search.

        dimensions: `SearchDimension`s.

        sampler: one of `SAMPLERS`.

        planned: int, number of trials in all, over all processes.

        seed: int, of the sampler.

        fingerprint: mapping, what must be the same whenever the search resumes.

        mode: `"min"` or `"max"`, whether the lowest or the highest value is the best.

    Raises:
        ValueError: if the folder holds another search (the message says what differs), or trials
            without a journal.

        RuntimeError: if Optuna is not installed.
    """

    def __init__(
        self,
        folder: Path,
        dimensions: Sequence[SearchDimension],
        sampler: str,
        planned: int,
        seed: int,
        fingerprint: Mapping[str, object],
        mode: str = "min",
    ):
        import filelock

        self.optuna = import_optuna()
        self.folder, self.dimensions, self.planned = folder, dimensions, planned
        self.sampler, self.seed, self.mode = sampler, seed, mode
        self.path = folder / JOURNAL
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = filelock.FileLock(folder / ".lock")
        with self.locked():
            self.study = self._load_or_create(fingerprint)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the search's lock inside the context; other processes wait."""
        with self.lock:
            _drop_partial_line(self.path)
            yield

    def lease(self) -> TrialLease | None:
        """Returns a trial to work on, an interrupted one first; None if none is left."""
        with self.locked():
            known = self.study.get_trials(deepcopy=False)
            for trial in known:
                lock = self._try_lock(trial.number) if trial.state.name == "RUNNING" else None
                if lock:
                    return self._lease(self._interrupted(trial.number), lock, True)
            is_waiting = any(trial.state.name == "WAITING" for trial in known)
            if not is_waiting and len(known) >= self.planned:
                return None
            if not is_waiting and self.sampler == GRID:
                self.study.enqueue_trial(self._next_point(known))
            self.study.sampler = self._sampler(len(known))
            trial = self.study.ask()
            return self._lease(trial, self._try_lock(trial.number), False)

    def finish(self, lease: TrialLease, value: float | None, **attributes: object) -> None:
        """Stores the result of a trial.

        Args:
            lease: `TrialLease`.

            value: float, the metric; None for a trial that failed.

            attributes: fields of `Trial`: `figures`, `seconds`, `reason`.
        """
        state = self.optuna.trial.TrialState
        with self.locked():
            for name, content in attributes.items():
                lease.trial.set_user_attr(name, content)
            self.study.tell(
                lease.trial, value, state=state.FAIL if value is None else state.COMPLETE
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

    def _load_or_create(self, fingerprint: Mapping[str, object]):
        """Returns Optuna's study."""
        if not self.path.exists() and (self.folder / TRIALS).exists():
            raise ValueError(
                f"a search must have a folder of its own. Received: {self.folder}, which holds "
                f"{TRIALS}/ and no {JOURNAL}"
            )
        journal = self.optuna.storages.journal
        backend = journal.JournalFileBackend(str(self.path), lock_obj=self.lock)
        self.storage = journal.JournalStorage(backend)
        if NAME in self.optuna.get_all_study_names(self.storage):
            study = self.optuna.load_study(storage=self.storage, study_name=NAME)
        else:
            study = self.optuna.create_study(
                storage=self.storage,
                study_name=NAME,
                direction="minimize" if self.mode == "min" else "maximize",
            )
        if FINGERPRINT not in study.user_attrs:
            study.set_user_attr(FINGERPRINT, dict(fingerprint))
        differing = differences(study.user_attrs[FINGERPRINT], fingerprint)
        if differing:
            raise ValueError(
                f"a search must resume with the settings it began with; {self.folder} has others. "
                f"Received: {'; '.join(differing)}"
            )
        return study

    def _try_lock(self, number: int):
        """Returns the lock of a trial, or None if another process works on it."""
        import filelock

        path = self.folder / TRIALS / f".{number:04d}.lock"
        path.parent.mkdir(exist_ok=True)
        lock = filelock.FileLock(path)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return lock

    def _interrupted(self, number: int):
        """Returns Optuna's trial that another process began."""
        study = self.storage.get_study_id_from_name(NAME)
        self.study.sampler = self._sampler(number)
        return self.optuna.trial.Trial(
            self.study, self.storage.get_trial_id_from_study_id_trial_number(study, number)
        )

    def _lease(self, trial, lock, is_resumed: bool) -> TrialLease:
        """Samples the values that a trial has not got yet."""
        params = {dimension.name: dimension.suggest(trial) for dimension in self.dimensions}
        folder = self.folder / TRIALS / f"{trial.number:04d}"
        return TrialLease(trial.number, folder, self._values(params), is_resumed, lock, trial)

    def _values(self, params: Mapping[str, object]) -> dict[str, object]:
        return {d.name: d.value(params[d.name]) for d in self.dimensions if d.name in params}

    def _sampler(self, number: int):
        """Returns the sampler of one trial: its values do not depend on which process asks."""
        samplers, seed = self.optuna.samplers, self.seed + number
        if self.sampler != TPE:
            return samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            # running trials count as bad ones, so that processes do not sample near them
            return samplers.TPESampler(seed=seed, constant_liar=True)

    def _next_point(self, known) -> dict[str, object]:
        """Returns a point of the grid that no trial has, in an order shuffled by the seed."""
        taken = [trial.system_attrs["fixed_params"] for trial in known]
        grid = [
            {name: storable(value) for name, value in point.items()}
            for point in grid_points(self.dimensions)
        ]
        random.Random(self.seed).shuffle(grid)
        return next(point for point in grid if point not in taken)


def choose_sampler(
    dimensions: Sequence[SearchDimension], sampler: str | None, planned: int | None
) -> tuple[str, int]:
    """Returns sampler and number of trials, by default a grid's if all dimensions have choices.

    Args:
        dimensions: `SearchDimension`s.

        sampler: one of `SAMPLERS`, or None.

        planned: int, number of trials, or None.

    Raises:
        ValueError: if the sampler is unknown, a grid has a range, or the number of trials is missing,
            not positive, or more than a grid has.
    """
    size = math.prod(len(dimension.choices) for dimension in dimensions)  # 0: one has a range
    sampler = sampler or (GRID if size else TPE)
    if sampler not in SAMPLERS:
        raise ValueError(f"`sampler` must be among {SAMPLERS}. Received: {sampler!r}")
    if sampler == GRID and not size:
        ranges = ", ".join(str(dimension) for dimension in dimensions if not dimension.choices)
        raise ValueError(f"a grid must have choices for every field. Received: {ranges}")
    if planned is None and sampler == GRID:
        return sampler, size
    if planned is None or planned < 1 or (sampler == GRID and planned > size):
        most = f", up to the grid's {size}" if sampler == GRID else ""
        raise ValueError(
            f"`trials` (--trials) must be a positive number{most}. Received: {planned}"
        )
    return sampler, planned


def import_optuna():
    """Returns Optuna, its log level set to warnings.

    Raises:
        RuntimeError: if it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise RuntimeError(
            f"hyperparameter search needs Optuna: pip install 'newnet_tf[tune]'. Received: {error}"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _drop_partial_line(path: Path) -> None:
    """Removes a journal's last line if its writer was killed in the middle of it."""
    text = path.read_bytes() if path.exists() else b""
    end = text.rfind(b"\n") + 1
    if end < len(text):
        os.truncate(path, end)
