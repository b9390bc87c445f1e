"""`newnet data`: prepare sets, look at augmented images."""

from pathlib import Path

from newnet_tf.cli import common
from newnet_tf.utils import tables

SHOWN = {
    "resnet": {},
    "color": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "pca_std": 0.1},
    "randaugment": {"randaugment_ops": 2},
    "erasing": {"erasing_prob": 1.0},
    "mixup": {"mixup_alpha": 0.4},
    "cutmix": {"cutmix_alpha": 1.0},
    "none": {"crop": "center", "hflip_prob": 0.0},
}


def arguments_data(parser):
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    _prepare_arguments(actions.add_parser("prepare", help="prepare a set, or say what is missing"))
    _show_arguments(actions.add_parser("show", help="a contact sheet of augmented images"))


def run_data(arguments):
    return {"prepare": _prepare, "show": _show}[arguments.action](arguments)


def _prepare_arguments(parser):
    parser.add_argument("name", help="imagenet, imagenet_v2, cifar10, cifar100 or tfds:NAME")
    parser.add_argument("--manual-dir", help="where ImageNet's tarballs lie")
    parser.add_argument("--data-dir", help="where to write; default: TFDS_DATA_DIR, else TFDS' own")
    parser.add_argument(
        "--partial", action="store_true", help="go on with one of ImageNet's two tarballs"
    )


def _prepare(arguments):
    from newnet_tf.data.datasets.prepare import prepare

    splits, where = prepare(
        arguments.name, arguments.manual_dir, arguments.data_dir, arguments.partial
    )
    rows = [{"split": split, "images": f"{count:,}"} for split, count in splits.items()]
    print(f"{arguments.name} is prepared in {where}\n")
    print(tables.table(rows, right=("images",)))


def _show_arguments(parser):
    from newnet_tf.data.datasets.factory import DATA

    parser.add_argument("--data", required=True, help=DATA)
    parser.add_argument("--data-dir", help="where tensorflow-datasets' sets lie")
    parser.add_argument(
        "--augmentation",
        default="resnet",
        help=f"among {', '.join(SHOWN)}, or several as resnet+cutmix; default: resnet",
    )
    parser.add_argument("--size", type=int, default=160, help="side of an image; default: 160")
    parser.add_argument("--count", type=int, default=32, help="images; default: 32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("augmented.png"))


def _show(arguments):
    import os

    from newnet_tf.data.augment.config import Augmentation
    from newnet_tf.data.datasets.factory import load_dataset
    from newnet_tf.models.config import PreprocessConfig

    fields = {}
    for name in arguments.augmentation.split("+"):
        if name not in SHOWN:
            raise ValueError(
                f"`--augmentation` must be among {', '.join(SHOWN)}. Received: {name!r}"
            )
        fields |= SHOWN[name]
    common.start_keras()
    from newnet_tf.data.contact_sheet import contact_sheet
    from newnet_tf.data.decode import SkippedImages
    from newnet_tf.data.pipeline import train_input_pipeline

    source = load_dataset(arguments.data, data_dir=arguments.data_dir)
    record, bad = PreprocessConfig(image_size=arguments.size), SkippedImages()
    batches = train_input_pipeline(
        source,
        record,
        Augmentation(**fields),
        batch_size=min(arguments.count, source.split("train").size),
        seed=arguments.seed,
        skipped=bad,
    )
    sheet = contact_sheet(batches.take(1), source, record, arguments.count)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    beside = arguments.output.with_name(f".{arguments.output.stem}.part.png")
    try:
        sheet.save(beside)
        os.replace(beside, arguments.output)
    finally:
        beside.unlink(missing_ok=True)
    print(arguments.output)
    if bad:
        common.note(str(bad))
