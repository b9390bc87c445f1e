"""ICDAR's text files of words (Robust Reading Competition, Incidental Scene Text 2015 and others).

    images/img_1.jpg                  gt/gt_img_1.txt
    ch4_test_images/img_1.jpg         Challenge4_Test_Task1_GT/gt_img_1.txt
    train_images/img_1.jpg            train_gts/img_1.jpg.txt

A line is a word: `x1,y1,x2,y2,x3,y3,x4,y4,text`, corners clockwise from the top left, UTF-8, often
with a byte order mark. The text may hold commas; `###` is a word that does not count. Files may also
lie next to their images, and in a folder for each split. `ImageSets/train.txt`, `val.txt`, `test.txt`
name the images of splits, one a line, as PASCAL VOC's do.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.data.datasets.base import ALL, TRAIN, Dataset, DatasetError
from newnet_tf.data.datasets.detection.voc import read_image_sets
from newnet_tf.data.datasets.split_names import KINDS, split_of
from newnet_tf.data.datasets.text.listing import ImageWords, text_dataset
from newnet_tf.data.image_files import SUFFIXES, SkippedImage, display_name, subfolders
from newnet_tf.data.words import DO_NOT_CARE, WordChecker

PREFIX = "gt_"
CORNERS = 8  # numbers at the beginning of a line
LOOKED_AT = 20  # text files by which a folder is recognized
SETS = ("ImageSets", "ImageSets/Main")
MAX_FOLDERS = 30  # more are folders of classes, whose many files need not be listed
HEAD = 2**14  # characters of each
BAD_LINE = "in a line that is not eight numbers and a text, left out"
UNANNOTATED = "an image without a text file of its words"
NO_IMAGE = "a text file of words whose image is not there"
UNLISTED = "an image that a list of a split names, and that is not there"


@dataclass(frozen=True)
class IcdarPart:
    """A folder of images and the folder of their text files, which may be the same."""

    images: Path
    truth: Path


def read_words(text: str) -> tuple[list[tuple[list, bool, str]], int]:
    """Reads the words of an image.

    Args:
        text: str, the text file.

    Returns:
        ([(corners, whether it is ignored, text), ...], number of lines that are no words).

    Example:
        >>> read_words("0,0,9,0,9,5,0,5,EXIT")
        ([([(0.0, 0.0), (9.0, 0.0), (9.0, 5.0), (0.0, 5.0)], False, 'EXIT')], 0)
    """
    words, bad = [], 0
    for line in text.removeprefix("\ufeff").splitlines():
        if not line.strip():
            continue
        fields = line.split(",", CORNERS)
        try:
            numbers = [float(field) for field in fields[:CORNERS]]
        except ValueError:
            numbers = []
        if len(numbers) < CORNERS or not all(map(math.isfinite, numbers)):
            bad += 1
            continue
        name = fields[CORNERS].strip() if len(fields) > CORNERS else ""
        corners = list(zip(numbers[::2], numbers[1::2], strict=True))
        words.append((corners, name == DO_NOT_CARE, name))
    return words, bad


def find_icdar(root: Path) -> dict[str, IcdarPart]:
    """Returns the parts of a folder of ICDAR's, `{"all": ...}` without splits, and {} for another one.

    Args:
        root: `Path` of the folder.

    Raises:
        DatasetError: for two parts of one split.
    """
    parts = {part.images.name: part for part in _parts(root)}
    if not parts:
        inside = {path.name: _parts(path) for path in subfolders(root) if split_of(path.name)}
        parts = {name: own[0] for name, own in inside.items() if len(own) == 1}
    if len(parts) == 1:
        ((name, part),) = parts.items()
        loose = split_of(name) if part.images == root else _split_in(name)
        split = loose or (None if part.truth == root else _split_in(part.truth.name))
        return {ALL if split in (None, TRAIN) else split: part}
    splits = {_split_in(name): part for name, part in parts.items()}
    if len(splits) < len(parts) or None in splits:
        raise DatasetError(
            "images with text files of words in several folders must be different splits, which the "
            "folders' names say (train, val, test); name one folder as the data. "
            f"Received: {', '.join(parts)} in {display_name(root)!r}"
        )
    return splits


def listed_sets(root: Path) -> dict[str, list[str]]:
    """Returns {split: names of images} of the lists in the folder `ImageSets`; {} without."""
    return next(filter(None, (read_image_sets(root / place) for place in SETS)), {})


def icdar_dataset(
    root: Path,
    parts: Mapping[str, IcdarPart] | None = None,
    validation_split: float = 0.2,
    seed: int = 0,
    image_sets: Mapping[str, Sequence[str]] | None = None,
) -> Dataset:
    """Opens a folder of ICDAR's.

    Args:
        root: `Path` of the folder.

        parts: {split: `IcdarPart`}. Default: those of `find_icdar`.

        validation_split, seed: as in `load_dataset`; they divide images that have no splits.

        image_sets: {split: names of images without or with suffix}, for images that have no splits of
            their own. Default: None, the lists in the folder `ImageSets`, if there are any.

    Returns:
        `Dataset` of the task `"text_detection"`.

    Raises:
        DatasetError: for a folder without images and their words, or a list that names no image of it.

    Example:
        >>> sets = {"train": ["img_51", "img_52"], "validation": ["img_1"]}
        >>> icdar_dataset(Path("icdar2015"), image_sets=sets)
    """
    parts = find_icdar(root) if parts is None else parts
    if not parts:
        raise DatasetError(
            "a folder of ICDAR's must hold images and text files of their words (images/img_1.jpg, "
            f"gt/gt_img_1.txt). Received: {display_name(root)!r} without"
        )
    checker, skipped = WordChecker(), []
    read = {split: _read(part, checker, skipped) for split, part in parts.items()}
    if image_sets is None and list(read) == [ALL]:
        image_sets = listed_sets(root)
    if image_sets:
        everything = {stem: image for own in read.values() for stem, image in own.items()}
        images = _listed(everything, image_sets, skipped)
    else:
        images = {split: list(own.values()) for split, own in read.items()}
    return text_dataset(
        display_name(root.resolve().name),
        images,
        skipped=skipped,
        checker=checker,
        validation_split=validation_split,
        seed=seed,
    )


def _parts(root: Path) -> list[IcdarPart]:
    """Returns the pairs of a folder of images and a folder of text files, in a folder."""
    folders = subfolders(root)
    folders = folders if len(folders) <= MAX_FOLDERS else []
    truths = {path: set(_texts_by_stem(path)) for path in folders if _has_words(path)}
    parts = []
    for path in folders if truths else []:
        stems = set(_images_by_stem(path))
        fits = [
            (path == truth or _split_in(path.name) == _split_in(truth.name), share, truth)
            for truth, own in truths.items()
            if stems & own and (share := len(stems & own) / len(stems | own))
        ]
        if fits:
            parts.append(IcdarPart(path, max(fits, key=lambda fit: fit[:2])[2]))
    if not parts and _has_words(root) and set(_texts_by_stem(root)) & set(_images_by_stem(root)):
        return [IcdarPart(root, root)]
    return parts


def _read(
    part: IcdarPart, checker: WordChecker, skipped: list[SkippedImage]
) -> dict[str, ImageWords]:
    """Returns the images of a part by their stems."""
    images, texts = _images_by_stem(part.images), _texts_by_stem(part.truth)
    found = {}
    for stem, path in images.items():
        if stem not in texts:
            skipped.append(SkippedImage(display_name(path), UNANNOTATED))
            continue
        words, bad = read_words(texts[stem].read_text("utf-8", "replace"))
        checker.add(display_name(texts[stem]), BAD_LINE, bad)
        found[stem] = ImageWords(path, tuple(words))
    alone = [texts[stem] for stem in texts if stem not in images]
    skipped += [SkippedImage(display_name(path), NO_IMAGE) for path in alone]
    return found


def _listed(
    images: Mapping[str, ImageWords],
    image_sets: Mapping[str, Sequence[str]],
    skipped: list[SkippedImage],
) -> dict[str, list[ImageWords]]:
    """Returns the images that lists name, by split."""
    splits = {}
    for split, names in image_sets.items():
        stems = [Path(name).stem if _is_image(Path(name)) else name for name in names]
        splits[split] = [images[stem] for stem in stems if stem in images]
        missing = [name for name, stem in zip(names, stems, strict=True) if stem not in images]
        skipped += [SkippedImage(display_name(name), UNLISTED) for name in missing]
        if not splits[split]:
            raise DatasetError(
                f"the list of the split {split!r} must name images of the data. "
                f"Received: {', '.join(missing[:3]) or 'none'}"
            )
    return splits


def _split_in(name: str) -> str | None:
    """Returns the one split that a word of a name stands for (`Challenge4_Test_Task1_GT`), or None."""
    words = re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower())
    found = {KINDS[word] for word in words if word in KINDS}
    return found.pop() if len(found) == 1 else None


def _has_words(folder: Path) -> bool:
    """Returns whether text files of a folder hold words and little else; the first ones are read."""
    good = bad = 0
    for path in sorted(folder.glob("*.txt"))[:LOOKED_AT]:
        with open(path, encoding="utf-8", errors="replace") as file:
            words, others = read_words(file.read(HEAD))
        good, bad = good + len(words), bad + others
    return good > bad


def _texts_by_stem(folder: Path) -> dict[str, Path]:
    """Returns the text files of a folder by the stem of their images."""
    found = {}
    for path in sorted(folder.glob("*.txt")):
        name = path.name[: -len(path.suffix)].removeprefix(PREFIX)
        found[Path(name).stem if _is_image(Path(name)) else name] = path
    return found


def _images_by_stem(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir()) if _is_image(path)}


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES
