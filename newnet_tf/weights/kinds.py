"""Tells what kind of checkpoint a file is, from its first bytes; its suffix only words the error."""

from pathlib import Path

from newnet_tf.weights import CheckpointError, archive, frozen_graph, suffix

PYTORCH, SAFETENSORS, NPZ = "PyTorch", "safetensors", "npz"
HDF5, KERAS, INDEX = "HDF5", "Keras", "index of shards"
FROZEN_GRAPH = "frozen graph"
EXPECTED = (
    "a checkpoint: of PyTorch (.pth, .pt, .bin, .ckpt), .safetensors, the .index.json of its shards, "
    ".npz, of Keras (.weights.h5, .h5, .keras), or a frozen graph of TensorFlow 1 (.pb)"
)
BY_SUFFIX = {
    ".safetensors": SAFETENSORS,
    ".npz": NPZ,
    ".weights.h5": HDF5,
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".keras": KERAS,
    ".index.json": INDEX,
    ".pb": FROZEN_GRAPH,
}  # any other suffix is PyTorch's
UNPACK = "it is compressed or a collection of files: unpack it first"
OTHERS = (  # place, bytes, what it is and the next step
    (
        0,
        b"version https://git-lfs",
        "it is a Git LFS pointer: fetch the file itself (git lfs pull)",
    ),
    (4, b"TFL3", "it is a TFLite file: pass the checkpoint that it was made from"),
    (0, b"\x1f\x8b", UNPACK),
    (0, b"\xfd7zXZ\0", UNPACK),
    (0, b"BZh", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", UNPACK),
    (257, b"ustar", UNPACK),
)
WEB_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
HEAD = 512  # bytes that are looked at
SHOWN = 5


def kind_of(path: Path) -> str:
    """Returns the kind of a checkpoint.

    Args:
        path: path of the file.

    Returns:
        str, one of the kinds above. A file that begins like none of them has the kind of its suffix,
        whose reader then says what is wrong.

    Raises:
        CheckpointError: for a file that is missing, empty or surely no checkpoint.
    """
    if path.is_dir():
        raise CheckpointError.about(path, "an existing file", _in_folder(path))
    if not path.is_file():
        raise CheckpointError.about(path, "an existing file", "there is none")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise CheckpointError.about(path, EXPECTED, "it is empty (0 bytes)")
    for place, magic, problem in OTHERS:
        if head[place:].startswith(magic):
            raise CheckpointError.about(path, EXPECTED, problem)
    text = head.lstrip().lower()
    if text.startswith(WEB_PAGES):
        raise CheckpointError.about(path, EXPECTED, "it is a web page: download the file itself")
    if archive.is_zip(path):
        return _archive_kind(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return HDF5
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return SAFETENSORS
    if head.startswith(b"\x80"):
        return PYTORCH
    if frozen_graph.begins_as_graph(head):
        return FROZEN_GRAPH
    if text.startswith(b"{"):
        return INDEX
    kind = BY_SUFFIX.get(suffix(path) or "")
    if kind is None and suffix(path) is None:
        raise CheckpointError.about(path, EXPECTED, f"it begins with {head[:8]!r}")
    return kind or PYTORCH


def _archive_kind(path: Path) -> str:
    try:
        with archive.open_archive(path, EXPECTED) as members:
            names = list(members.sizes)
    except CheckpointError:  # the reader of its suffix says what is wrong
        return BY_SUFFIX.get(suffix(path) or "", PYTORCH)
    if any(name.endswith("/data.pkl") for name in names):
        return PYTORCH
    if "model.weights.h5" in names:
        return KERAS
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    shown = ", ".join(names[:SHOWN]) or "nothing"
    raise CheckpointError.about(path, EXPECTED, f"it is a zip archive of other files ({shown})")


def _in_folder(path: Path) -> str:
    files = sorted(p.name for p in path.iterdir() if suffix(p) is not None)
    hint = f"pass one of {', '.join(files[:SHOWN])}" if files else "it holds no checkpoint"
    return f"it is a folder: {hint}"
