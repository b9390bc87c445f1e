"""`newnet data`: list, prepare and show datasets."""

import argparse

from newnet_tf.cli import common
from newnet_tf.utils import tables
from newnet_tf.utils.io import atomic_write
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions `info`, `prepare` and `show`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    _add_info_arguments(
        actions.add_parser("info", help="list splits, classes and the files that are left out")
    )
    _add_prepare_arguments(
        actions.add_parser("prepare", help="prepare a dataset, or list what is missing")
    )
    _add_show_arguments(
        actions.add_parser("show", help="draw a page of images with their classes or boxes")
    )


def run(arguments: argparse.Namespace) -> None:
    """Lists or prepares a dataset, or draws a page of its images."""
    {"info": _info, "prepare": _prepare, "show": _show}[arguments.action](arguments)


def _add_info_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_data_arguments(parser)
    common.add_json_argument(parser)


def _load(arguments: argparse.Namespace):
    import newnet_tf
    from newnet_tf.api.data_arguments import check_data

    check_data(
        arguments.data,
        validation_split=arguments.validation_split,
        images_dir=arguments.images_dir,
    )
    start_keras()
    return newnet_tf.load_dataset(
        arguments.data,
        validation_split=arguments.validation_split,
        seed=arguments.seed,
        data_dir=arguments.data_dir,
        images_dir=arguments.images_dir,
    )


def _info(arguments: argparse.Namespace) -> None:
    dataset = _load(arguments)
    if arguments.json:
        print(tables.to_json(_to_json(dataset)))
        return
    rows = dataset.class_table()
    print(f"{dataset}\n")
    print(tables.table(rows, right=tuple(rows[0])[1:]))
    if summary := dataset.skipped_summary():
        print(f"\n{summary}")


def _to_json(dataset) -> dict:
    return {
        "data": dataset.name,
        "task": dataset.task,
        "classes": dataset.class_table(),
        "skipped": [{"file": file.path, "reason": file.reason} for file in dataset.skipped],
        "remarks": [
            {"file": remark.path, "reason": remark.reason, "boxes": remark.count}
            for remark in dataset.remarks
        ],
    }


def _add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="imagenet, imagenet_v2, cifar10, cifar100 or tfds:NAME")
    parser.add_argument("--manual-dir", metavar="DIR", help="folder of ImageNet's two tarballs")
    common.add_data_dir_argument(parser)
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="prepare ImageNet though one of its two tarballs is missing, without that split",
    )


def _prepare(arguments: argparse.Namespace) -> None:
    import newnet_tf
    from newnet_tf.api.data_arguments import check_prepared

    check_prepared(arguments.name)
    splits, folder = newnet_tf.data.prepare(
        arguments.name, arguments.manual_dir, arguments.data_dir, arguments.allow_missing
    )
    rows = [{"split": split, "images": f"{count:,}"} for split, count in splits.items()]
    print(f"{arguments.name} is prepared in {folder}\n")
    print(tables.table(rows, right=("images",)))


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    from newnet_tf.api.show_data import CLASSIFICATION_AUGMENTATIONS, DETECTION_AUGMENTATIONS

    common.add_data_arguments(parser)
    parser.add_argument(
        "--augmentation",
        metavar="NAME[+NAME...]",
        help=f"of {', '.join(CLASSIFICATION_AUGMENTATIONS)}; default: resnet. For boxes of "
        f"{', '.join(DETECTION_AUGMENTATIONS)}; default: none",
    )
    common.add_image_size_argument(parser, 160)
    parser.add_argument(
        "--count", type=int, default=32, metavar="N", help="number of images; default: 32"
    )
    common.add_output_argument(parser, "PNG file of the page", "augmented.png")


def _show(arguments: argparse.Namespace) -> None:
    from newnet_tf.api.arguments import check_choice, check_positive
    from newnet_tf.api.show_data import AUGMENTATIONS, show_data

    check_positive(count=arguments.count, image_size=arguments.image_size)
    for name in (arguments.augmentation or "none").split("+"):
        check_choice("augmentation", name, AUGMENTATIONS)
    dataset = _load(arguments)
    if summary := dataset.skipped_summary():
        note(summary)
    page, skipped = show_data(
        dataset,
        arguments.augmentation,
        image_size=arguments.image_size,
        count=arguments.count,
        seed=arguments.seed,
    )
    with atomic_write(arguments.output) as temporary:
        page.save(temporary, "PNG")
    print(arguments.output)
    if skipped:
        note(f"{len(skipped)} images skipped:" + "".join(f"\n  {s.reason}" for s in skipped))
