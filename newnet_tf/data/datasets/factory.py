"""`load_dataset`: from a name or a path to labeled images."""

import os
from pathlib import Path

from newnet_tf.data.datasets import csv_file, folder, tar, tfds
from newnet_tf.data.datasets.base import Dataset, DatasetError, file_split
from newnet_tf.data.datasets.detection import box_table
from newnet_tf.data.datasets.detection.folder import find_box_format
from newnet_tf.data.datasets.splitting import divide_files
from newnet_tf.data.datasets.text.folder import find_text_format
from newnet_tf.data.image_files import display_name

DATA = (
    "imagenet, imagenet_v2, cifar10, cifar100, tfds:NAME, a folder or a tarball of class folders, "
    "a CSV file of paths and labels; for boxes a COCO file, a VOC or YOLO folder, a CSV file of "
    "corners; for text a folder of ICDAR's, a COCO-Text file"
)


def load_dataset(
    data: str | os.PathLike,
    *,
    validation_split: float = 0.2,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
    images_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Opens labeled images.

    Args:
        data: str or path. A name: `"imagenet"`, `"imagenet_v2"`, `"cifar10"`, `"cifar100"` or
            `"tfds:NAME"` (a set of tensorflow-datasets). A folder: one subfolder of images for each
            class, or splits with such subfolders: `train` and `validation` or `test`, under any of
            their usual names (see `datasets.split_names`). A tarball of class folders, or CIFAR's
            binary version (see `datasets.tar`). A CSV file, a path and a label in each line, or several
            labels (see `datasets.csv_file`). For detection: a COCO file or a folder of such
            (`datasets.detection.coco`), a PASCAL VOC folder (`.voc`), a YOLO folder or its data.yaml
            (`.yolo`), a CSV file with the columns x1, y1, x2, y2 (`.box_table`), or a set of
            tensorflow-datasets with boxes (`"tfds:voc/2007"`). For text detection: a folder of images
            and text files of words as ICDAR's (`datasets.text.icdar`), or a COCO-Text file
            (`.coco_text`).

        validation_split: float in (0, 1), the share of a folder without splits of its own that
            becomes the validation split, class by class. Default: 0.2.

        seed: int, decides which images those are: the same ones for the same seed on any machine.
            Default: 0.

        data_dir: path, where prepared sets of tensorflow-datasets are stored. Default: None, the
            environment variable `TFDS_DATA_DIR`, else `~/tensorflow_datasets`.

        images_dir: path, the folder that the paths of a CSV, COCO or COCO-Text file start from.
            Default: None, the CSV file's own folder; of the others the one among the usual places that
            has the images.

    Returns:
        `Dataset` with `class_names` and named splits. A folder or CSV file without splits of its own
        has `"train"`, `"validation"`, and `"all"`, which is both together. Its field `skipped` names
        the files that were left out. With boxes, its task is `"detection"`, labels are as in
        `data.boxes`, and `remarks` names the boxes that were clipped or left out; with words, it is
        `"text_detection"`, and labels are as in `data.words`.

    Raises:
        DatasetError, ImageError: for data that cannot be opened. The message says what to do.

    Example:
        >>> dataset = load_dataset("photos/flowers", validation_split=0.2)
        >>> dataset.class_names, dataset.split("train").size
        (('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips'), 1600)
    """
    name = os.fspath(data)
    if name in tfds.NAMES or name.startswith(tfds.PREFIX):
        return tfds.tfds_dataset(name, data_dir, validation_split)
    if (
        images_dir is not None
        and not csv_file.is_table(name)
        and not name.lower().endswith(".json")
    ):
        raise DatasetError(
            f"`images_dir` (--images-dir) must come with a CSV or COCO file. Received: data={name!r}"
        )
    if tar.is_archive(name):
        return tar.archive_dataset(name)
    if csv_file.is_table(name):
        if box_table.is_box_table(Path(name)):
            return box_table.box_table_dataset(Path(name), validation_split, seed, images_dir)
        return csv_file.csv_dataset(name, validation_split, seed, images_dir)
    for find in (find_text_format, find_box_format):
        if Path(name).exists() and (found := find(Path(name))):
            return found.open(validation_split, seed, images_dir)
    if Path(name).is_dir():
        return folder_dataset(name, validation_split, seed)
    raise DatasetError(f"`data` must be among: {DATA}. Received: {name!r}")


def folder_dataset(
    root: str | os.PathLike, validation_split: float = 0.2, seed: int = 0
) -> Dataset:
    """Opens a folder of images; arguments as in `load_dataset`."""
    name = display_name(Path(root).resolve().name)
    layout = folder.folder_layout(root)
    if layout.splits:
        return _split_folders(name, layout)
    files = folder.list_labeled_files(layout.root)
    splits = divide_files(files.paths, files.labels, validation_split, seed)
    return Dataset(name, files.class_names, splits, skipped=layout.skipped + files.skipped)


def _split_folders(name: str, layout: folder.FolderLayout) -> Dataset:
    """Opens splits of class folders, all numbered as those of the first."""
    class_names, splits, skipped = None, {}, layout.skipped
    for split, path in layout.splits.items():
        files = folder.list_labeled_files(path, class_names)
        class_names = files.class_names
        splits[split] = file_split(files.paths, files.labels)
        skipped += files.skipped
    return Dataset(name, class_names or (), splits, skipped=skipped)
