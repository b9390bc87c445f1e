"""`newnet data`: list, prepare and show datasets."""

import argparse

from newnet_tf.cli import common
from newnet_tf.utils import tables
from newnet_tf.utils.io import atomic_write
from newnet_tf.utils.progress import note
from newnet_tf.utils.quiet import start_keras

AUGMENTATIONS = {
    "resnet": {},
    "color": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "pca_std": 0.1},
    "randaugment": {"randaugment_ops": 2},
    "erasing": {"erasing_prob": 1.0},
    "mixup": {"mixup_alpha": 0.4},
    "cutmix": {"cutmix_alpha": 1.0},
    "none": {"crop": "center", "hflip_prob": 0.0},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the actions `info`, `prepare` and `show`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    _add_info_arguments(
        actions.add_parser("info", help="list splits, classes and the files that are left out")
    )
    _add_prepare_arguments(
        actions.add_parser("prepare", help="prepare a dataset, or list what is missing")
    )
    _add_show_arguments(actions.add_parser("show", help="draw a page of augmented images"))


def run(arguments: argparse.Namespace) -> None:
    """Lists or prepares a dataset, or draws augmented images."""
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
    print(f"{dataset}\n")
    print(tables.table(dataset.class_table(), right=tuple(dataset.splits)))
    if dataset.skipped:
        print(f"\n{dataset.skipped_summary()}")


def _to_json(dataset) -> dict:
    return {
        "data": dataset.name,
        "task": dataset.task,
        "classes": dataset.class_table(),
        "skipped": [{"file": file.path, "reason": file.reason} for file in dataset.skipped],
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
    common.add_data_arguments(parser)
    parser.add_argument(
        "--augmentation",
        default="resnet",
        metavar="NAME[+NAME...]",
        help=f"of {', '.join(AUGMENTATIONS)}, separated by +; default: resnet",
    )
    common.add_image_size_argument(parser, 160)
    parser.add_argument(
        "--count", type=int, default=32, metavar="N", help="number of images; default: 32"
    )
    common.add_output_argument(parser, "PNG file of the page", "augmented.png")


def _show(arguments: argparse.Namespace) -> None:
    import newnet_tf
    from newnet_tf.api.arguments import check_choice, check_positive

    check_positive(count=arguments.count, image_size=arguments.image_size)
    fields = {}
    for name in arguments.augmentation.split("+"):
        check_choice("augmentation", name, AUGMENTATIONS)
        fields |= AUGMENTATIONS[name]
    dataset = _load(arguments)
    if dataset.skipped:
        note(dataset.skipped_summary())
    page, skipped = newnet_tf.data.draw_augmentation(
        dataset,
        newnet_tf.data.Augmentation(**fields),
        image_size=arguments.image_size,
        count=arguments.count,
        seed=arguments.seed,
    )
    with atomic_write(arguments.output) as temporary:
        page.save(temporary, "PNG")
    print(arguments.output)
    if skipped:
        note(str(skipped))
