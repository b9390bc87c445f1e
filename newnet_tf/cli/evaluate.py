"""`newnet evaluate`: accuracy on labeled images, of a network or of a file made from it."""

from collections.abc import Sequence

from newnet_tf import inference
from newnet_tf.cli import common
from newnet_tf.utils import tables

TOP = (1, 5)


def arguments_evaluate(parser):
    from newnet_tf.data.datasets.factory import DATA

    parser.add_argument("model", help="a network, .keras, .tflite or SavedModel")
    parser.add_argument("--data", required=True, help=DATA)
    parser.add_argument("--data-dir", help="where tensorflow-datasets' sets lie")
    parser.add_argument("--split", help="default: validation, else test, else all")
    parser.add_argument(
        "--test-share", type=float, default=0.2, help="a folder's part for validation; default: 0.2"
    )
    parser.add_argument("--seed", type=int, default=0, help="which part that is; default: 0")
    common.add_weights_arguments(parser)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="a random sample of N, always the same"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--per-class", action="store_true", help="every class, the worst first")
    parser.add_argument(
        "--record", action="store_true", help="write the table newnet_tf/results/accuracy.csv"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "Files are read through their own recipe: what prepares images is what was exported.\n"
        "Folders of classes are matched with the model by name: its labels, or ImageNet's wnids.\n"
        "Images that cannot be read are skipped, counted and named."
    )


def run_evaluate(arguments):
    if arguments.limit is not None and arguments.limit < 1:
        raise ValueError(f"`--limit` must be positive. Received: {arguments.limit}")
    from newnet_tf.data.datasets.factory import load_dataset

    common.start_keras()
    source = load_dataset(
        arguments.data, arguments.test_share, arguments.seed, data_dir=arguments.data_dir
    )
    split = source.split(arguments.split)
    called = next(name for name, found in source.splits.items() if found is split)
    predictor = inference.load(
        arguments.model, arguments.weights, arguments.like, arguments.activation
    )
    index = class_index(source.class_names, predictor)
    with common.no_warnings():
        result = judged(predictor, split, index, arguments.limit, arguments.batch)
    names = predictor.class_names or source.class_names
    rows = class_rows(result, names)
    if arguments.record:
        _record(arguments, predictor, result, _data(source, called, arguments.limit))
    if arguments.json:
        print(tables.to_json(_summary(arguments, predictor, source, called, result, rows)))
    else:
        print(f"{common.titled(arguments)} on {source.name}, {called}: {result}")
        if arguments.per_class:
            print(f"\n{tables.table(rows, right=('n', 'top-1', 'low', 'high'))}")
        elif len(rows) > 1:
            worst = ", ".join(f"{row['class']} {row['top-1']}" for row in rows[:3])
            print(f"worst classes (--per-class shows all): {worst}")
    for sample in result.skipped:
        common.note(f"skipped: {sample.reason}")


def class_index(names: Sequence[str], predictor: inference.Predictor) -> list[int]:
    """Returns the model's class for each class of the data.

    Raises:
        ValueError: where the data has a class that the model has not.
    """
    from newnet_tf.data.labels import imagenet_labels

    if predictor.class_names is None or tuple(names) == predictor.class_names:
        if len(names) == predictor.classes:
            return list(range(len(names)))
        raise ValueError(
            f"the data must have the model's {predictor.classes} classes, which nothing names (a "
            f"file NAME.labels.txt beside it would). Received: {len(names)} classes"
        )
    rank = {name: i for i, name in enumerate(predictor.class_names)}
    if predictor.is_imagenet:
        rank = {label.wnid: i for i, label in enumerate(imagenet_labels())}
    unknown = [name for name in names if name not in rank]
    if unknown:
        kind = "ImageNet's, as wnids (n02123045)" if predictor.is_imagenet else "the model's"
        raise ValueError(
            f"the data's classes must be {kind}; the model knows {list(rank)[:3]} ... "
            f"Received: {unknown[:3]}"
        )
    return [rank[name] for name in names]


def judged(predictor: inference.Predictor, split, index, limit: int | None = None, batch: int = 32):
    """Returns the `evaluation.Result` of a predictor on a split."""
    import dataclasses

    from newnet_tf.data.host_loader import iter_samples
    from newnet_tf.evaluation.loop import judge

    samples = (
        dataclasses.replace(sample, label=index[sample.label])
        for sample in iter_samples(split, limit)
    )
    total = split.size if limit is None else min(limit, split.size)
    top = TOP if predictor.classes > max(TOP) else TOP[:1]
    return judge(predictor.scores, samples, total, predictor.prepare, batch, top)


def class_rows(result, names: Sequence[str]) -> list[dict]:
    """Lines of a table: how each class did, the worst first."""
    return [
        {
            "class": names[found.label],
            "n": found.n,
            "top-1": f"{found.accuracy:.1f}",
            "low": f"{found.interval[0]:.1f}",
            "high": f"{found.interval[1]:.1f}",
            "most often taken for": f"{names[found.top_confusion]} ({found.count})"
            if found.count
            else "",
        }
        for found in result.by_class()
    ]


def _data(source, called: str, limit: int | None) -> str:
    """What the images are called in the table of results."""
    part = "" if called in ("validation", "all") else f", {called}"
    return f"{source.name}{part}" + (f", sample of {limit}" if limit else "")


def _record(arguments, predictor, result, data: str) -> None:
    from newnet_tf.evaluation import loop

    path = loop.record(result, predictor.network, data, predictor.precision, predictor.weights)
    common.note(f"wrote {path}")


def _summary(arguments, predictor, source, called, result, rows) -> dict:
    accuracies = {
        f"top{k}": {"accuracy": result.accuracy(k), "interval": result.interval(k)}
        for k in result.top
    }
    return {
        "model": common.titled(arguments),
        "network": predictor.network,
        "precision": predictor.precision,
        "data": source.name,
        "split": called,
        "n": result.n,
        **accuracies,
        "classes": rows,
        "skipped": [{"image": b.path, "reason": b.reason} for b in result.skipped],
    }
