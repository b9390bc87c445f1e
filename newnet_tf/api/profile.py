"""`newnet_tf.profile`: the time of each operator of models and files on this CPU."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf import results
from newnet_tf.api.benchmark import FILES
from newnet_tf.deploy.export_options import check_options
from newnet_tf.profiling import operators, profile_tables, untrained_models
from newnet_tf.profiling.operators import Profile
from newnet_tf.utils import io
from newnet_tf.utils.progress import note

IMAGE_SUFFIXES = (".png", ".svg")
LAYERS = 10  # slowest layers in the printed text


@dataclass(frozen=True)
class ProfileResult:
    """Profiles of models and files. It prints as tables, and is iterable as its profiles.

    Args:
        profiles: tuple of `Profile`, one for each file.

        table: path of the table of results, None if it was not written.

        plot: path of the chart by type of operator, None if it was not drawn.

        flame_chart: path of the flame chart, None if it was not drawn.
    """

    profiles: tuple[Profile, ...]
    table: Path | None = None
    plot: Path | None = None
    flame_chart: Path | None = None

    def __len__(self) -> int:
        return len(self.profiles)

    def __iter__(self) -> Iterator[Profile]:
        return iter(self.profiles)

    def __getitem__(self, index: int) -> Profile:
        return self.profiles[index]

    def to_text(self, layers: int = LAYERS) -> str:
        """Returns the tables of each profile; two profiles are compared too.

        Args:
            layers: int, the number of slowest layers to show. Default: 10.
        """
        texts = [profile_tables.text(profile, layers) for profile in self.profiles]
        if len(self.profiles) == 2:
            texts.append(profile_tables.comparison(*self.profiles))
        return "\n\n".join(texts)

    def to_dicts(self) -> list[dict]:
        """Returns each profile, with every operator and layer, as JSON values."""
        return [profile_tables.to_dict(profile) for profile in self.profiles]

    def __str__(self) -> str:
        return self.to_text()


def profile(
    models: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    precisions: Sequence[str] = ("fp32",),
    threads: int = 1,
    runs: int = 50,
    plot: str | os.PathLike | None = None,
    flame_chart: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
    save_results: bool = False,
    force: bool = False,
) -> ProfileResult:
    """Measures the time of each operator of models on this CPU.

    Models of the zoo are built with random weights and exported, so their files are for timing only.
    Times are those of XNNPACK's kernels within the running file, by LiteRT's profiler: the mean of the
    middle half of all runs. An operator that is fused into a neighbor has no kernel and 0 ms.

    Args:
        models: a name or a list of them: models of the zoo, also as NAME-ACTIVATION (in place of
            SiLU); patterns such as `"rexnet_*"`; `"keras:MobileNet"`, `"keras:MobileNetV2"`,
            `"keras:EfficientNetB0"`; paths of `.tflite` files, whoever wrote them, with any inputs
            and outputs.

        precisions: names of precisions for models of the zoo, as in `export`. Default: `("fp32",)`.

        threads: int. Default: 1.

        runs: int, timed runs of each file. Default: 50.

        plot: path of a `.png` or `.svg` file for a chart of the time by type of operator. Default:
            none.

        flame_chart: path of a `.png` or `.svg` file for a chart of blocks, layers and operators in
            order. Default: none.

        output: path of the folder for exported files. Default: `build/benchmark`.

        save_results: bool, whether to write the table `newnet_tf/results/operators.csv`. Default:
            False.

        force: bool, whether to export files of an unchanged config again. Default: False.

    Returns:
        A `ProfileResult`.

    Raises:
        ValueError: if an argument has another value, or a name is unknown.

        ModelFileError: if a `.tflite` file cannot be run. A custom operator is named.

        RuntimeError: if the installed LiteRT has no profiler of a known layout.

    Example:
        >>> result = newnet_tf.profile(["newnet_small", "rexnet_100"], plot="operators.svg")
        >>> print(result)
    """
    names = [models] if isinstance(models, (str, os.PathLike)) else list(models)
    names = list(dict.fromkeys(os.fspath(name) for name in names))
    _check(names, threads, runs, plot=plot, flame_chart=flame_chart)
    check_options(precisions, "float32", False, "logits")
    files = [name for name in names if name.endswith(".tflite")]
    names = untrained_models.expand_names([name for name in names if name not in files])
    exported = {}
    if names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = untrained_models.export_untrained(names, precisions, output or FILES, force)
    files = [exported[name, precision] for precision in precisions for name in names] + files
    profiles = [operators.profile_file(file, threads=threads, runs=runs) for file in files]
    disturbed = profile_tables.disturbed(profiles)
    if disturbed:
        note(
            f"operators do not add up to the whole (busy machine, tiny file): {', '.join(disturbed)}"
        )
    table = profile_tables.save(profiles) if save_results else None
    return ProfileResult(
        profiles=tuple(profiles),
        table=table,
        plot=_draw_breakdown(plot, profiles, table) if plot else None,
        flame_chart=_draw_flame_chart(flame_chart, profiles) if flame_chart else None,
    )


def _check(names: Sequence[str], threads: int, runs: int, **images) -> None:
    """Raises ValueError, before anything is measured, for arguments that would fail later."""
    if not names:
        raise ValueError("`models` must name at least one model or file. Received: none")
    if threads < 1 or runs < 1:
        raise ValueError(
            "`threads` (--threads) and `runs` (--runs) must be positive. "
            f"Received: {threads} and {runs}"
        )
    for name, path in images.items():
        if path is not None and Path(path).suffix not in IMAGE_SUFFIXES:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"`{name}` ({option}) must end in one of {IMAGE_SUFFIXES}. Received: {path}"
            )


def _draw_breakdown(
    path: str | os.PathLike, profiles: Sequence[Profile], table: Path | None
) -> Path:
    """Draws the chart by type of operator: from the table of results if it was written."""
    from newnet_tf.visualization.op_breakdown import op_breakdown

    rows = [row for profile in profiles for row in profile_tables.rows(profile)]
    if table:
        keys = {tuple(f"{row[key]}" for key in profile_tables.KEYS) for row in rows}
        rows = [
            row
            for row in results.read(profile_tables.TABLE)
            if tuple(row[key] for key in profile_tables.KEYS) in keys
        ]
    return _save(path, op_breakdown(rows, list(dict.fromkeys(p.model for p in profiles))))


def _draw_flame_chart(path: str | os.PathLike, profiles: Sequence[Profile]) -> Path:
    from newnet_tf.visualization.flame_chart import flame_chart

    return _save(path, flame_chart(profiles, [profile.title for profile in profiles]))


def _save(path: str | os.PathLike, figure) -> Path:
    from newnet_tf.visualization import charts

    path = Path(path)
    io.write_bytes(path, (charts.png if path.suffix == ".png" else charts.svg)(figure))
    return path
