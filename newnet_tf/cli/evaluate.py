"""`newnet evaluate`: accuracy on labeled images, of a model or of a file exported from it."""

import argparse

from newnet_tf.cli import common, model_options
from newnet_tf.utils import tables
from newnet_tf.utils.progress import note


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
            print(f"\n{tables.table(rows, right=('n', 'top-1', 'low', 'high'))}")
        elif len(rows) > 1:
            worst = ", ".join(f"{row['class']} {row['top-1']}" for row in rows[:3])
            print(f"worst classes (--per-class shows all): {worst}")
    for image in result.skipped:
        note(f"skipped: {image.reason}")


def _to_json(result, rows: list[dict]) -> dict:
    accuracies = {
        f"top{k}": {"accuracy": result.accuracy(k), "interval": result.interval(k)}
        for k in result.top
    }
    return {
        "model": result.model,
        "weights": result.weights,
        "precision": result.precision,
        "data": result.dataset,
        "split": result.split,
        "n": result.n,
        **accuracies,
        "classes": rows,
        "skipped": [{"image": image.path, "reason": image.reason} for image in result.skipped],
    }
