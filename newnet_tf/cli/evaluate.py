"""`newnet evaluate`: accuracy or average precision on labeled images, of any model or exported file."""

import argparse

from newnet_tf.cli import common, model_options
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note

TEXTS = ("class", "most often confused with")  # columns of the table of classes that hold no figure
FIRST = ("top-1", "AP")  # the figure of a class that tells most, of each task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet evaluate`."""
    common.add_model_argument(parser)
    common.add_data_arguments(parser, split=True)
    model_options.add_weights_arguments(parser, classes=False)
    model_options.add_allow_untrained_argument(parser)
    common.add_max_samples_argument(parser)
    common.add_batch_size_argument(parser, 32)
    parser.add_argument(
        "--per-class", action="store_true", help="print every class, the worst first"
    )
    common.add_save_results_argument(parser, "accuracy")
    common.add_json_argument(parser)
    parser.epilog = (
        "Images are preprocessed as the metadata inside the model say.\n"
        "Folders of classes are matched with the model by name: its labels, or ImageNet's wnids.\n"
        "A detector takes COCO, VOC and YOLO folders and CSV files of boxes, and reports COCO's mAP.\n"
        "A text detector takes ICDAR's folders and COCO-Text files, and reports ICDAR's H-mean.\n"
        "Images that cannot be read are skipped, counted and named."
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs `newnet evaluate`."""
    import newnet_tf

    with common.no_warnings():
        result = newnet_tf.evaluate(
            arguments.model,
            arguments.data,
            split=arguments.split,
            **model_options.model_options(arguments),
            allow_untrained=arguments.allow_untrained,
            validation_split=arguments.validation_split,
            seed=arguments.seed,
            data_dir=arguments.data_dir,
            images_dir=arguments.images_dir,
            max_samples=arguments.max_samples,
            batch_size=arguments.batch_size,
            save_results=arguments.save_results,
        )
    rows = result.class_table()
    if arguments.json:
        print(tables.to_json(_to_json(result, rows)))
    else:
        print(result)
        if arguments.per_class:
            figures = [name for name in (rows[0] if rows else ()) if name not in TEXTS]
            print(f"\n{tables.table(rows, right=figures)}")
        elif len(rows) > 1:
            first = next(name for name in FIRST if name in rows[0])
            worst = ", ".join(f"{row['class']} {row[first]}" for row in rows[:3])
            print(f"worst classes (--per-class shows all): {worst}")
    for image in result.skipped:
        note(f"skipped: {image.reason}")


def _to_json(result, rows: list[dict]) -> dict:
    return {
        "model": result.model,
        "weights": result.weights,
        "precision": result.precision,
        "data": result.dataset,
        "split": result.split,
        "n": result.n,
        **_figures(result),
        "classes": rows,
        "skipped": [{"image": image.path, "reason": image.reason} for image in result.skipped],
    }


def _figures(result) -> dict:
    if hasattr(result, "top"):
        return {
            f"top{k}": {"accuracy": result.accuracy(k), "interval": result.interval(k)}
            for k in result.top
        }
    return result.metrics
