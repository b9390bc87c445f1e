"""Which files of a folder are images: by suffix, and where that does not tell, by content."""

import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff",
            ".webp")  # fmt: skip
# Raw files of cameras look like TIFF files, whose first image is a thumbnail.
RAW_SUFFIXES = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf",
                ".rw2", ".srw")  # fmt: skip
# What file systems, archivers and viewers leave behind.
SYSTEM_NAMES = {"@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "lost+found"}
HEAD = 32  # bytes that tell the format
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")
INSTALL_HEIF = "pip install pillow-heif"
SHOWN = 3  # files of a kind that a summary names


class ImageError(ValueError):
    """An image that cannot be read: the message names it, what was expected and what came."""


@dataclass(frozen=True)
class SkippedImage:
    """An image or another file that was left out.

    Args:
        path: str, its path or another name.

        reason: str, why.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class FoundImages:
    """The images of a folder.

    Args:
        paths: tuple of `Path`, sorted.

        skipped: tuple of `SkippedImage`, all other files, sorted by path. Hidden files and those of
            `SYSTEM_NAMES` are not among them.
    """

    paths: tuple[Path, ...]
    skipped: tuple[SkippedImage, ...]


def find_images(folder: str | os.PathLike) -> FoundImages:
    """Finds the images in a folder and its subfolders.

    A file with a suffix of `SUFFIXES` is an image; it is not opened here. Of any other file the first
    bytes decide. Links are followed: a link to a folder outside once, a link to a folder that is read
    in any case (inside of `folder`, or by another link) not at all.

    Args:
        folder: path.

    Returns:
        `FoundImages`.

    Raises:
        ImageError: for a folder that does not exist.

    Example:
        >>> found = find_images("photos")
        >>> len(found.paths), summarize_skipped(found.skipped)
    """
    root = os.fspath(folder)
    if not os.path.isdir(root):
        raise ImageError(f"`folder` must be an existing folder. Received: {display_name(folder)!r}")
    paths, skipped = [], []
    for path, reason in _walk(root):
        reason = reason or _not_an_image(path)
        if reason is None:
            paths.append(Path(path))
        else:
            skipped.append(SkippedImage(display_name(path), reason))
    return FoundImages(tuple(sorted(paths)), tuple(sorted(skipped, key=lambda s: s.path)))


def subfolders(folder: str | os.PathLike) -> list[Path]:
    """Returns the visible subfolders of a folder, sorted; links to folders are among them."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not is_hidden(entry.name) and entry.is_dir()]
    return [Path(folder) / name for name in sorted(names)]


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is hidden, or one that a system leaves behind."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def image_format(head: bytes) -> str | None:
    """Returns the format of an image by its first bytes.

    Args:
        head: bytes, the first 32 or more.

    Returns:
        `"JPEG"`, `"PNG"`, `"GIF"`, `"WebP"`, `"BMP"`, `"TIFF"`, `"PPM"`, `"HEIC"`, `"AVIF"`, or None
        for anything else.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in (b" ", b"\n", b"\r", b"\t"):
        return "PPM"
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[i : i + 4] for i in range(16, len(head), 4))]
        if any(brand in AVIF_BRANDS for brand in brands):
            return "AVIF"
        if any(brand in HEIC_BRANDS for brand in brands):
            return "HEIC"
    return None


@functools.cache
def reads_format(name: str) -> bool:
    """Returns whether Pillow reads a format that it does not always read.

    HEIC (and AVIF before Pillow 11.3) needs the package pillow-heif, which is used if installed.

    Args:
        name: `"HEIC"` or `"AVIF"`.
    """
    from PIL import Image

    Image.init()
    if f".{name.lower()}" in Image.registered_extensions():
        return True
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    if hasattr(pillow_heif, "register_avif_opener"):
        pillow_heif.register_avif_opener()
    return f".{name.lower()}" in Image.registered_extensions()


def display_name(path: str | bytes | os.PathLike) -> str:
    """Returns a path as text that can be printed and written.

    Bytes that are no UTF-8, as in names from old systems, are shown as `\\xe9`.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def summarize_skipped(skipped: tuple[SkippedImage, ...]) -> str:
    """Returns a line for each reason, with the number of files and the names of some.

    Args:
        skipped: tuple of `SkippedImage`.

    Example:
        >>> print(summarize_skipped(dataset.skipped))
        5 files left out: a HEIC image, to read it: pip install pillow-heif (b/0.heic, b/1.heic, ...)
    """
    by_reason: dict[str, list[str]] = {}
    for image in skipped:
        reason = image.reason.removeprefix(f"{image.path}: ")
        by_reason.setdefault(reason, []).append(image.path)
    lines = []
    for reason, paths in by_reason.items():
        files = "1 file" if len(paths) == 1 else f"{len(paths):,} files"
        names = ", ".join(paths[:SHOWN]) + (", ..." if len(paths) > SHOWN else "")
        lines.append(f"{files} left out: {reason} ({names})")
    return "\n".join(lines)


def _walk(root: str) -> Iterator[tuple[str, str | None]]:
    """Yields (path, None) for each file, and (path, reason) for what is not followed."""
    real_root = os.path.realpath(root)
    seen, folders = {real_root}, [(root, False)]
    while folders:
        folder, is_outside = folders.pop()
        try:
            with os.scandir(folder) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            yield folder, f"a folder that cannot be read ({error.strerror})"
            continue
        inner = []
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                is_link = entry.is_symlink()
                if is_link or is_outside:
                    target = os.path.realpath(entry.path)
                    if target in seen or _holds(real_root, target) or _holds(target, real_root):
                        yield entry.path, "a link to a folder that is read already"
                        continue
                    seen.add(target)
                inner.append((entry.path, is_outside or is_link))
            elif entry.is_file():
                yield entry.path, None
            else:
                is_link = entry.is_symlink()
                yield entry.path, "a link to nothing" if is_link else "no regular file"
        folders += reversed(inner)  # the first is read next


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _not_an_image(path: str) -> str | None:
    """Returns why a file is left out, None for an image."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SUFFIXES:
        return None
    if suffix in RAW_SUFFIXES:
        return "a raw file of a camera; convert it to JPEG or TIFF"
    try:
        with open(path, "rb") as file:
            found = image_format(file.read(HEAD))
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if found is None:
        return "no image"
    return unreadable_format(found)


def unreadable_format(name: str | None) -> str | None:
    """Returns what is needed to read a format, None if it can be read or is none."""
    if name not in ("HEIC", "AVIF") or reads_format(name):
        return None
    article = "an" if name == "AVIF" else "a"
    return f"{article} {name} image; to read it: {INSTALL_HEIF}"
