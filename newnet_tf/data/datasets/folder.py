"""Folders of labeled images."""

import os
from pathlib import Path

from newnet_tf.data.images import ImageError, list_images
from newnet_tf.data.labels import imagenet_labels

LAYOUTS = (
    "`folder` must hold one subfolder of images a class, or images named `<wnid>_<anything>` "
    "(as n02123045_tabby.JPEG), and not both"
)


def labeled_files(folder: str | os.PathLike) -> tuple[list[Path], list[int], list[str]]:
    """Lists the images of a folder with their classes.

    Two layouts are known: a subfolder for each class, numbered in the order of their sorted names
    (images may lie in folders below); or a flat folder of ImageNet images, `<wnid>_<anything>`,
    numbered as ImageNet's 1,000 classes.

    Args:
        folder: path.

    Returns:
        (paths, labels, class names): sorted files, an int for each, the name of each class.

    Raises:
        ImageError: for a folder of neither layout or of both, or a class without an image.
    """
    paths = list_images(folder)
    root = Path(folder)
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    flat = [p for p in paths if p.parent == root]
    if flat and classes:
        raise ImageError(
            f"{LAYOUTS}. Received: {str(folder)!r}, with {flat[0].name!r} next to {classes[0]!r}"
        )
    return _flat(paths) if flat else _by_subfolder(root, paths, classes)


def _by_subfolder(root, paths, classes):
    rank = {name: i for i, name in enumerate(classes)}
    labels = [rank[p.relative_to(root).parts[0]] for p in paths]
    empty = sorted(set(classes) - {classes[i] for i in labels})
    if empty:
        raise ImageError(
            f"each class of `folder` must hold an image. Received: {str(root)!r}, "
            f"with none in {empty}"
        )
    return paths, labels, classes


def _flat(paths):
    known = imagenet_labels()
    rank = {label.wnid: i for i, label in enumerate(known)}
    wnids = [p.name.split("_", 1)[0] for p in paths]
    for path, wnid in zip(paths, wnids, strict=True):
        if wnid not in rank:
            raise ImageError(f"{LAYOUTS}. Received: {str(path)!r}")
    return paths, [rank[wnid] for wnid in wnids], [label.name for label in known]
