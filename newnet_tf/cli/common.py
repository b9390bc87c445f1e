"""Options that several commands share. One option has one meaning and one help text everywhere.

Each function adds options to a parser; a command calls those that it needs:

- `add_model_argument`: `MODEL`; `add_models_argument`: `MODEL [MODEL ...]`, stored as `models`
- `add_data_arguments`: `--data`, `--data-dir`, `--images-dir`, `--validation-split`, `--seed`;
  `--split` if asked
- `add_data_dir_argument`, `add_images_dir_argument`, `add_seed_argument`: each of these alone
- `add_max_samples_argument`, `add_batch_size_argument`, `add_image_size_argument`: `--max-samples`,
  `--batch-size`, `--image-size`
- `add_recipe_arguments`: `--recipe` for recipes to choose from, `--set`, `--epochs`
- `add_output_argument`: `-o/--output`, a `Path`
- `add_json_argument`, `add_force_argument`, `add_runs_argument`: `--json`, `--force`, `--runs`
- `add_save_results_argument`: `--save-results`, and `--no-save-results` if asked
- `add_threads_argument`: `--threads`, a number, or a tuple of numbers if asked

Types of arguments: `comma_list` (a tuple of str), `comma_numbers` (a tuple of int). What
`load_model` takes is in `model_options`, options of the commands that write TFLite files in
`export_options`.
"""

import argparse
import contextlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

MODEL = "a model of the zoo (`newnet list`), a .keras or .h5 file, or the folder of a run"


def comma_list(text: str) -> tuple[str, ...]:
    """Returns the parts of `text` between commas."""
    return tuple(part for part in text.split(",") if part)


def comma_numbers(text: str) -> tuple[int, ...]:
    """Returns the whole numbers in `text` between commas."""
    return tuple(int(part) for part in comma_list(text))


def add_model_argument(
    parser: argparse.ArgumentParser, help: str = MODEL, nargs: str | None = None
) -> None:
    """Adds the positional argument MODEL. `help` tells what else it may be."""
    parser.add_argument("model", metavar="MODEL", nargs=nargs, help=help)


def add_models_argument(
    parser: argparse.ArgumentParser, help: str = MODEL, nargs: str = "+"
) -> None:
    """Adds the positional arguments MODEL [MODEL ...]."""
    parser.add_argument("models", metavar="MODEL", nargs=nargs, help=help)


def add_data_arguments(
    parser: argparse.ArgumentParser, *, seed: int | None = 0, split: bool = False
) -> None:
    """Adds what chooses a dataset, and with `split=True` one of its splits."""
    from newnet_tf.data.datasets.factory import DATA

    parser.add_argument("--data", required=True, help=DATA)
    add_data_dir_argument(parser)
    add_images_dir_argument(parser)
    parser.add_argument(
        "--validation-split",
        type=float,
        default=0.2,
        metavar="FRACTION",
        help="fraction of a folder without splits that is its validation split; default: 0.2",
    )
    add_seed_argument(parser, seed)
    if split:
        parser.add_argument("--split", help="default: validation, else test, else all")


def add_data_dir_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--data-dir`."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder of the tensorflow-datasets; default: TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )


def add_images_dir_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--images-dir`."""
    parser.add_argument(
        "--images-dir",
        type=Path,
        metavar="DIR",
        help="folder that the paths of a CSV or COCO file start from; default: the file's own",
    )


def add_seed_argument(parser: argparse.ArgumentParser, default: int | None = 0) -> None:
    """Adds `--seed`; the default None stands for the recipe's own."""
    parser.add_argument(
        "--seed",
        type=int,
        default=default,
        help="of all that is random: splits, order, augmentation, initial weights; "
        f"default: {'as in the recipe' if default is None else default}",
    )


def add_max_samples_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--max-samples`."""
    parser.add_argument(
        "--max-samples",
        type=int,
        metavar="N",
        help="use a random sample of N images, the same in each run; default: all",
    )


def add_batch_size_argument(parser: argparse.ArgumentParser, default: int) -> None:
    """Adds `--batch-size`."""
    parser.add_argument(
        "--batch-size",
        type=int,
        default=default,
        metavar="N",
        help=f"images a batch; default: {default}",
    )


def add_image_size_argument(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    """Adds `--image-size`; the default None stands for the weights' own."""
    parser.add_argument(
        "--image-size",
        type=int,
        default=default,
        metavar="PIXELS",
        help=f"height and width of the input; default: {default or 'as the weights need it'}",
    )


def add_recipe_arguments(
    parser: argparse.ArgumentParser, recipes: Sequence[str] = (), default: str | None = None
) -> None:
    """Adds `--set` and `--epochs`, and for `recipes` to choose from `--recipe`."""
    if recipes:
        parser.add_argument(
            "--recipe",
            required=default is None,
            default=default,
            help=f"one of {', '.join(recipes)}" + (f"; default: {default}" if default else ""),
        )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,...]",
        help="change fields of the recipe, as lr=0.1,augmentation.cutmix_alpha=1.0",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="the same as --set epochs=N")


def add_output_argument(
    parser: argparse.ArgumentParser, help: str, default: Path | str | None = None, **options
) -> None:
    """Adds `-o/--output`, always a path.

    Args:
        help: str, what is written there, such as "folder of the files".
        default: path or None. `options`: other keyword arguments of `add_argument`.
    """
    default = Path(default) if default else None
    help = f"{help}; default: {default}" if default else help
    parser.add_argument(
        "-o", "--output", type=Path, default=default, metavar="PATH", help=help, **options
    )


def add_json_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_save_results_argument(
    parser: argparse.ArgumentParser, table: str, *, negatable: bool = False
) -> None:
    """Adds `--save-results`, which writes newnet_tf/results/TABLE.csv.

    Args:
        table: str, the table's name. negatable: bool, whether there is `--no-save-results` too, for
            a command that writes by default in some cases; the default is then None.
    """
    parser.add_argument(
        "--save-results",
        action=argparse.BooleanOptionalAction if negatable else "store_true",
        help=f"write the result into the table newnet_tf/results/{table}.csv",
    )


def add_force_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--force`."""
    parser.add_argument(
        "--force", action="store_true", help="write files again, even if nothing has changed"
    )


def add_runs_argument(parser: argparse.ArgumentParser, default: int | None) -> None:
    """Adds `--runs`."""
    shown = f"; default: {default}" if default else ""
    parser.add_argument(
        "--runs", type=int, default=default, metavar="N", help=f"timed runs of each file{shown}"
    )


def add_threads_argument(
    parser: argparse.ArgumentParser, default: int | None = 1, *, several: bool = False
) -> None:
    """Adds `--threads`, with `several=True` a list such as 1,2 (stored as a tuple)."""
    shown = f"; default: {default}" if default else ""
    parser.add_argument(
        "--threads",
        type=comma_numbers if several else int,
        default=(default,) if several and default else default,
        metavar="N[,...]" if several else "N",
        help=f"threads that a file runs on{shown}",
    )


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Suppresses Python warnings while a command runs; it prints what matters itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def predictions_to_json(predictions: Iterable) -> list[dict]:
    """Returns predictions as JSON values, with `"box"`, x1, y1, x2, y2, and `"polygon"` if any."""
    return [
        {"label": p.label, "class_index": p.class_index, "score": p.score}
        | ({} if p.box is None else {"box": list(p.box)})
        | ({} if p.polygon is None else {"polygon": [list(corner) for corner in p.polygon]})
        for p in predictions
    ]
