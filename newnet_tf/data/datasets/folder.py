"""Folders of labeled images: class folders, splits of class folders, ImageNet's flat folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.data.datasets.base import TEST, TRAIN, VALIDATION
from newnet_tf.data.datasets.split_names import name_splits, split_of
from newnet_tf.data.image_files import (
    SUFFIXES,
    ImageError,
    SkippedImage,
    display_name,
    find_images,
    subfolders,
    summarize_skipped,
)
from newnet_tf.data.labels import imagenet_labels

LAYOUTS = (
    "`folder` must hold one subfolder of images a class, or images named `<wnid>_<anything>` "
    "(as n02123045_tabby.JPEG), and not both"
)
DEPTH = 3  # folders that may lie around the data, each the only one in it
SHOWN = 6  # folders of a layout that a message shows


@dataclass(frozen=True)
class LabeledFiles:
    """The images of a folder with their classes.

    Args:
        paths: tuple of `Path`, sorted.

        labels: tuple of int, one for each path.

        class_names: tuple of str, sorted.

        skipped: tuple of `SkippedImage`, files that are no images.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    skipped: tuple[SkippedImage, ...] = ()


@dataclass(frozen=True)
class FolderLayout:
    """Where the images of a folder lie.

    Args:
        root: `Path` of the folder of classes or splits.

        splits: {split: `Path`}; empty for a folder of classes.

        skipped: tuple of `SkippedImage`, folders beside the splits.
    """

    root: Path
    splits: dict[str, Path]
    skipped: tuple[SkippedImage, ...] = ()


def labeled_files(folder: str | os.PathLike) -> tuple[list[Path], list[int], list[str]]:
    """Lists the images of a folder of classes, see `list_labeled_files`.

    Returns:
        (paths, labels, class names): sorted files, an int for each, the name of each class.

    Raises:
        ImageError: as `list_labeled_files`, and for a folder of splits.
    """
    layout = folder_layout(folder)
    if layout.splits:
        names = ", ".join(path.name for path in layout.splits.values())
        raise ImageError(
            f"`folder` must hold one subfolder of images a class; name one of its splits ({names}). "
            f"Received: {display_name(folder)!r}"
        )
    files = list_labeled_files(layout.root)
    return list(files.paths), list(files.labels), list(files.class_names)


def list_labeled_files(
    folder: str | os.PathLike, class_names: Sequence[str] | None = None
) -> LabeledFiles:
    """Lists the images of a folder with their classes.

    Two layouts are known: a subfolder for each class, numbered in the order of their sorted names
    (images may lie in folders below); or a flat folder of ImageNet images, `<wnid>_<anything>`,
    numbered as ImageNet's 1,000 classes.

    Args:
        folder: path.

        class_names: str of each class, to number them by; some may have no folder. Default: None, the
            names of the subfolders.

    Returns:
        `LabeledFiles`.

    Raises:
        ImageError: for a folder of neither layout or of both, or a class without an image.
    """
    root, found = Path(folder), find_images(folder)
    if not found.paths:
        why = summarize_skipped(found.skipped) or "it is empty"
        raise ImageError(
            f"`folder` must hold images. Received: {display_name(folder)!r}, which has none: {why}"
        )
    classes = subfolders(root)
    flat = [path for path in found.paths if path.parent == root]
    if flat and classes:
        raise ImageError(
            f"{LAYOUTS}. Received: {display_name(folder)!r}, with {display_name(flat[0].name)!r} next "
            f"to {display_name(classes[0].name)!r}"
        )
    if flat:
        labels, names = _flat(found.paths)
    else:
        labels, names = _by_subfolder(root, found, classes, class_names)
    return LabeledFiles(found.paths, tuple(labels), tuple(names), found.skipped)


def folder_layout(folder: str | os.PathLike) -> FolderLayout:
    """Finds out whether a folder holds classes or splits, in it or in its only subfolder.

    Splits are subfolders of class folders whose names stand for different splits (see
    `split_names.name_splits`), as `train` and `test` or `Training` and `Testing`; all but the training
    split may be missing, or the training split. Folders beside them, such as a `test` folder of
    unlabeled images, are left out and named.

    Args:
        folder: path.

    Returns:
        `FolderLayout`.

    Raises:
        ImageError: for two folders of one split, subfolders that all hold the same class folders while
            their names stand for no splits, or splits without class folders.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ImageError(f"`folder` must be an existing folder. Received: {display_name(folder)!r}")
    for _ in range(DEPTH):
        only = subfolders(root)
        if len(only) != 1 or _has_image(root) or not subfolders(only[0]):
            break
        split = split_of(only[0].name)
        if split in (VALIDATION, TEST):
            return FolderLayout(root, {split: only[0]})
        root = only[0]
    inside = {path.name: {child.name for child in subfolders(path)} for path in subfolders(root)}
    named = name_splits(list(inside))
    splits = {name: split for name, split in named.items() if inside[name]}
    if TRAIN in splits.values() or len(splits) > 1:
        return _split_layout(root, splits, list(inside))
    if len(inside) > 1 and (splits or len(named) == len(inside) or _hold_the_same(inside)):
        raise ImageError(
            "subfolders must be classes, or splits of class folders whose names say which (train, "
            f"validation, test). Received: {display_name(root)!r}; rename its folders, or name one of "
            f"them as the data:{_tree(inside)}"
        )
    return FolderLayout(root, {})


def _hold_the_same(inside: dict[str, set[str]]) -> bool:
    """Returns whether all folders hold much the same folders, as splits do and classes do not."""
    shared, known = set.intersection(*inside.values()), set.union(*inside.values())
    return len(shared) > 1 and 2 * len(shared) >= len(known)


def _split_layout(root: Path, names: dict[str, str], folders: list[str]) -> FolderLayout:
    splits: dict[str, Path] = {}
    for split in (TRAIN, VALIDATION, TEST):
        own = [name for name, of in names.items() if of == split]
        if len(own) > 1:
            raise ImageError(
                f"one folder must hold the {split} split. "
                f"Received: {display_name(root)!r} with {', '.join(map(display_name, own))}; rename or "
                "remove all but one"
            )
        if own:
            splits[split] = root / own[0]
    others = [name for name in folders if name not in names]
    skipped = tuple(
        SkippedImage(display_name(root / name), "a folder beside the splits") for name in others
    )
    if list(splits) == [TRAIN]:
        return FolderLayout(splits[TRAIN], {}, skipped)
    return FolderLayout(root, splits, skipped)


def _has_image(folder: Path) -> bool:
    """Returns whether an image lies in a folder itself."""
    with os.scandir(folder) as entries:
        files = [entry.path for entry in entries if entry.is_file()]
    return any(Path(path).suffix.lower() in SUFFIXES for path in files)


def _tree(classes: dict[str, set[str]]) -> str:
    lines = []
    for name, children in list(classes.items())[:SHOWN]:
        shown = [f"{display_name(child)}/" for child in sorted(children)[:SHOWN]]
        lines.append(
            f"\n  {display_name(name)}/: {' '.join(shown)}{' ...' * (len(children) > SHOWN)}"
        )
    return "".join(lines)


def _by_subfolder(root, found, classes, class_names):
    names = [display_name(path.name) for path in classes]
    numbered = names if class_names is None else list(class_names)
    if unknown := sorted(set(names) - set(numbered)):
        raise ImageError(
            f"{display_name(root)} must hold the classes of the training images. Received: "
            f"{unknown} besides"
        )
    rank = {name: i for i, name in enumerate(numbered)}
    labels = [rank[display_name(path.relative_to(root).parts[0])] for path in found.paths]
    empty = sorted(set(names) - {numbered[i] for i in labels})
    if empty:
        raise ImageError(
            f"each class of `folder` must hold an image. Received: {display_name(root)!r}, "
            f"with none in {empty}. {summarize_skipped(found.skipped)}".rstrip(". ")
        )
    return labels, numbered


def _flat(paths):
    known = imagenet_labels()
    rank = {label.wnid: i for i, label in enumerate(known)}
    wnids = [path.name.split("_", 1)[0] for path in paths]
    for path, wnid in zip(paths, wnids, strict=True):
        if wnid not in rank:
            raise ImageError(f"{LAYOUTS}. Received: {display_name(path)!r}")
    return [rank[wnid] for wnid in wnids], [label.name for label in known]
