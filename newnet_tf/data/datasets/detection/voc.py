"""PASCAL VOC folders: an XML file of boxes for each image.

    Annotations/000005.xml   JPEGImages/000005.jpg   ImageSets/Main/{train,val,trainval,test}.txt

Also without ImageSets, with XML files next to the images, and with a folder for each split.
Corners count from 1 and belong to the box, so that `xmin` - 1 and `xmax` are its edges in pixels, as
torchvision's and COCO's converters take them.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.data.boxes import BoxChecker, make_label
from newnet_tf.data.datasets.base import ALL, TEST, TRAIN, VALIDATION, Dataset, DatasetError
from newnet_tf.data.datasets.detection.listing import AnnotatedImage, detection_dataset
from newnet_tf.data.image_files import SUFFIXES, SkippedImage, display_name

ANNOTATIONS, IMAGES, SETS = "Annotations", "JPEGImages", "ImageSets/Main"
CORNERS = ("xmin", "ymin", "xmax", "ymax")
UNANNOTATED = "an image of a split without its XML file"
NO_BOX = "without four numbers in `bndbox`, left out"


@dataclass(frozen=True)
class VocImage:
    """An XML file.

    Args:
        name: str, of the image file; "" if the XML file does not say.

        size: (height, width), or None.

        boxes: tuple of (class name, x1, y1, x2, y2, is difficult).

        damaged: int, objects without a box.
    """

    name: str
    size: tuple[int, int] | None
    boxes: tuple[tuple, ...]
    damaged: int = 0


@dataclass(frozen=True)
class VocPart:
    """XML files and the folder of their images: `files` of one split."""

    files: tuple[Path, ...]
    images: Path


def read_voc_xml(path: Path) -> VocImage:
    """Reads an annotation.

    Raises:
        DatasetError: for what is no XML file of an annotation; the message has no path.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
        raise DatasetError(f"an annotation must be an XML file. Received: {error}") from None
    if root.tag != "annotation":
        raise DatasetError(f"an annotation must have the root `annotation`. Received: {root.tag!r}")
    boxes, damaged = [], 0
    for item in root.iter("object"):
        name = (item.findtext("name") or "").strip()
        box = item.find("bndbox")
        try:
            corners = [float(box.findtext(corner)) for corner in CORNERS]
        except (TypeError, ValueError, AttributeError):
            damaged += 1
            continue
        if not name:
            raise DatasetError("each object of an annotation must have a name. Received: none")
        x1, y1, x2, y2 = corners
        difficult = (item.findtext("difficult") or "0").strip().lower() in ("1", "true")
        boxes.append((name, x1 - 1, y1 - 1, x2, y2, difficult))
    return VocImage((root.findtext("filename") or "").strip(), _size(root), tuple(boxes), damaged)


def voc_dataset(
    root: Path, parts: Mapping[str, VocPart], validation_split: float = 0.2, seed: int = 0
) -> Dataset:
    """Opens the parts of a VOC folder.

    Classes are the names of all objects, sorted.

    Args:
        root: `Path` of the folder.

        parts: {split: `VocPart`}, from `find_voc`.

        validation_split, seed: as in `load_dataset`.

    Returns:
        `Dataset` of the task `"detection"`.
    """
    checker, skipped, read = BoxChecker(), [], {}
    for split, part in parts.items():
        read[split] = []
        stems = _images_by_stem(part.images)
        for file in part.files:
            shown = display_name(file)
            if not file.is_file():
                skipped.append(SkippedImage(shown, UNANNOTATED))
                continue
            try:
                found = read_voc_xml(file)
            except DatasetError as error:
                skipped.append(SkippedImage(shown, str(error)))
                continue
            checker.add(shown, NO_BOX, found.damaged)
            fallback = found.name or f"{file.stem}.jpg"
            image = stems.get(file.stem, part.images / Path(fallback.replace("\\", "/")).name)
            read[split].append((image, found))
    names = sorted({box[0] for found in read.values() for _, image in found for box in image.boxes})
    rank = {name: i for i, name in enumerate(names)}
    images = {
        split: [
            AnnotatedImage(
                path,
                make_label(
                    [box[1:5] for box in image.boxes],
                    [rank[box[0]] for box in image.boxes],
                    [box[5] for box in image.boxes],
                ),
                image.size,
            )
            for path, image in found
        ]
        for split, found in read.items()
    }
    return detection_dataset(
        display_name(root.resolve().name),
        names,
        images,
        skipped=skipped,
        checker=checker,
        validation_split=validation_split,
        seed=seed,
    )


def find_voc(root: Path) -> dict[str, VocPart]:
    """Returns the parts of a VOC folder, `{"all": ...}` without splits, and {} for another folder.

    `train` and `val` of `ImageSets/Main` are used, or `trainval` where one of them is missing, and
    `test`.
    """
    annotations = _folder(root, ANNOTATIONS, ANNOTATIONS.lower())
    if annotations is None or not any(annotations.glob("*.xml")):
        return {}
    images = _folder(root, IMAGES, "images", "Images") or annotations
    lists = read_image_sets(root / SETS)
    if list(lists) == [TRAIN]:
        lists = {ALL: lists[TRAIN]}
    if lists:
        return {
            split: VocPart(tuple(annotations / f"{name}.xml" for name in names), images)
            for split, names in lists.items()
        }
    return {ALL: VocPart(tuple(sorted(annotations.glob("*.xml"))), images)}


def xml_with_images(folder: Path) -> VocPart | None:
    """Returns the XML files of a folder whose images lie next to them, or None."""
    files = tuple(sorted(folder.glob("*.xml")))
    return VocPart(files, folder) if files else None


def read_image_sets(folder: Path) -> dict[str, list[str]]:
    """Returns the names of the images of each split.

    Args:
        folder: `Path` of the folder of `train.txt`, `val.txt`, `trainval.txt`, `test.txt`, which need
            not be there.
    """
    lists = {}
    for name in ("train", "val", "trainval", "test"):
        file = folder / f"{name}.txt"
        if file.is_file():
            lines = file.read_text("utf-8-sig", "replace").splitlines()
            lists[name] = [line.split()[0] for line in lines if line.strip()]
    sets: dict[str, Sequence[str]] = {}
    if "train" in lists and ("val" in lists or "trainval" not in lists):
        sets[TRAIN] = lists["train"]
    elif "trainval" in lists:
        sets[TRAIN] = lists["trainval"]
    if "val" in lists and ("train" in lists or "trainval" not in lists):
        sets[VALIDATION] = lists["val"]
    if "test" in lists:
        sets[TEST] = lists["test"]
    return {split: names for split, names in sets.items() if names}


def _folder(root: Path, *names: str) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _images_by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Returns (height, width) as an annotation says it; 0 stands for unknown."""
    try:
        size = tuple(round(float(root.findtext(f"size/{name}"))) for name in ("height", "width"))
    except (TypeError, ValueError):
        return None
    return size if min(size) > 0 else None
