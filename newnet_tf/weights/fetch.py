"""From a tag to a local file: downloaded, digest checked, converted once.

A card's sources are tried in order: a file inside an installed distribution, on the hub, on the web.
The file is converted and cached as `weights/<model>.<tag>.<digest>.safetensors` in the folder
`NEWNET_HOME` (default: `~/.cache/newnet_tf`); later uses need neither network nor conversion. A branch
of the hub is resolved once; its commit is saved in `<model>.<tag>.json`.
"""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import numpy as np

from newnet_tf.models.config import HubFile, PackageFile, Source, WebFile, Weights
from newnet_tf.utils import io
from newnet_tf.utils.progress import note
from newnet_tf.weights import CheckpointError, LoadTarget, assign, reader, web_file

FORMAT = "newnet_tf 1"
SHA256 = re.compile("[0-9a-f]{64}")


class _Unavailable(Exception):
    """A source that does not provide its file; the message says why and what to do."""


@dataclass(frozen=True)
class SourceFile:
    """A source's file on this machine, with the right digest.

    Args:
        path: path of the file.

        sha256: str, its digest.

        source: str, where it comes from, for people.
    """

    path: Path
    sha256: str
    source: str


@dataclass(frozen=True)
class LockedFile:
    """Commit and digest of a hub file when it was first downloaded."""

    repo: str
    file: str
    revision: str
    commit: str
    sha256: str


def download(target: LoadTarget, weights: Weights) -> Path:
    """Returns the local file of published weights, in our own format.

    Args:
        target: `LoadTarget` of the model.

        weights: `Weights`, one of its card's.

    Returns:
        Path of a safetensors file. Its metadata contain source, digest and license.

    Raises:
        CheckpointError: if no source provides the file, its digest is wrong, or it does not fit the
            model.
    """
    store = home() / "weights"
    stem = f"{target.card.name}.{weights.tag}"
    path = _cached(store, stem, weights)
    if path:
        return path
    store.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(store / f".{stem}.lock")
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        note(f"{stem}: another process is downloading it, waiting")
        lock.acquire()
    try:
        return _cached(store, stem, weights) or _download(store, stem, target, weights)
    finally:
        lock.release()


def home() -> Path:
    """Returns the cache folder: `NEWNET_HOME`, by default `~/.cache/newnet_tf`."""
    return Path(os.environ.get("NEWNET_HOME") or "~/.cache/newnet_tf").expanduser()


def _cached(store: Path, stem: str, weights: Weights) -> Path | None:
    """Returns the file of an earlier conversion if it exists and is intact."""
    for source in weights.sources:
        locked = _locked_file(store, stem, source)
        sha256 = source.sha256 or (locked and locked.sha256)
        if sha256:
            path = store / f"{stem}.{sha256[:12]}.safetensors"
            if path.exists() and _is_intact(path, sha256):
                return path
    return None


def _locked_file(store: Path, stem: str, source: Source) -> LockedFile | None:
    try:
        locked = LockedFile(**json.loads((store / f"{stem}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    is_same = isinstance(source, HubFile) and (locked.repo, locked.file, locked.revision) == (
        source.repo,
        source.file,
        source.revision,
    )
    return locked if is_same else None


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        checkpoint = reader.read(path)
        metadata = dict(checkpoint.metadata)
        content = metadata.pop("content", None)
        expected = {"format": FORMAT, "sha256": sha256}
        is_expected = metadata.items() >= expected.items()
        return is_expected and content == _content(checkpoint.tensors, metadata)
    except CheckpointError:
        return False


def _content(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Returns the digest of arrays and metadata."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape};".encode())
        digest.update(np.ascontiguousarray(tensor))
    return digest.hexdigest()


def _download(store: Path, stem: str, target: LoadTarget, weights: Weights) -> Path:
    for damaged in store.glob(f"{stem}.*.safetensors"):
        damaged.unlink()
    reasons = []
    for source in weights.sources:
        try:
            source_file = _locate(source, store, stem)
        except _Unavailable as reason:
            reasons.append(f"{reason}")
            continue
        note(
            f"{stem}: {source_file.source} (license {weights.license}, by {weights.author}); "
            f"converting to {store}"
        )
        return _convert(source_file, store, stem, target, weights)
    tried = "\n  ".join(reasons)
    raise CheckpointError(
        f"`weights` must come from one of the sources of {stem!r}, or be the path of a checkpoint "
        f"file. No source provides it:\n  {tried}\nReceived: weights={weights.tag!r}"
    )


def _convert(
    source_file: SourceFile, store: Path, stem: str, target: LoadTarget, weights: Weights
) -> Path:
    model = target.build(weights.classes)
    checkpoint = reader.read(source_file.path)
    assign.assign_weights(model, checkpoint, target, new_classifier=False)
    tensors = reader.tensors_of(model)
    path = store / f"{stem}.{source_file.sha256[:12]}.safetensors"
    metadata = {
        "format": FORMAT,
        "model": target.card.name,
        "tag": weights.tag,
        "source": source_file.source,
        "sha256": source_file.sha256,
        "license": weights.license,
    }
    return reader.write(path, tensors, metadata | {"content": _content(tensors, metadata)})


def _locate(source: Source, store: Path, stem: str) -> SourceFile:
    if isinstance(source, PackageFile):
        return _installed(source)
    if isinstance(source, WebFile):
        try:
            return SourceFile(web_file.download(source, store), source.sha256, source.url)
        except web_file.WebFileError as error:
            raise _Unavailable(f"{error}") from error
    return _downloaded(source, store, stem)


def _installed(source: PackageFile) -> SourceFile:
    """Finds a distribution's file without importing the distribution."""
    spec = importlib.util.find_spec(source.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((p for f in folders if (p := Path(f) / source.file).is_file()), None)
    if path is None:
        raise _Unavailable(
            f"package {source.distribution}: not installed here (pip install {source.distribution})"
        )
    sha256 = io.sha256(path)
    if sha256 != source.sha256:
        raise _Unavailable(
            f"package {source.distribution}: {path} has the digest {sha256}, not {source.sha256} "
            f"(pip install --force-reinstall {source.distribution})"
        )
    return SourceFile(path, sha256, f"file {source.file} of the package {source.distribution}")


def _downloaded(source: HubFile, store: Path, stem: str) -> SourceFile:
    """Finds a file in the hub's cache or downloads it, and checks its digest."""
    locked = _locked_file(store, stem, source)
    name = f"hub file {source.repo}/{source.file}"
    revision = locked.commit if locked else source.revision
    recorded = f" (recorded in {store / stem}.json)" if locked else ""
    with _hub_errors(f"{name} at {revision}{recorded}"):
        path = _hub_file(source, revision)
        commit = path.parents[len(Path(source.file).parts) - 1].name  # .../snapshots/<commit>/file
        expected = source.sha256 or (locked.sha256 if locked else _etag(source, commit, path))
    if not SHA256.fullmatch(expected):
        raise _Unavailable(f"{name}: neither card nor hub has a sha256 to check it against")
    sha256 = io.sha256(path)
    if sha256 != expected:
        _delete(path)
        raise _Unavailable(
            f"{name}: the downloaded file has the digest {sha256}, not {expected}; it was deleted, "
            "try again"
        )
    if locked is None:
        locked = LockedFile(source.repo, source.file, source.revision, commit, sha256)
        io.write_text(store / f"{stem}.json", json.dumps(asdict(locked), indent=1))
    return SourceFile(path, sha256, f"{name} at commit {commit}")


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turns any error of the hub's library into the reason why `name` is not available."""
    try:
        yield
    except Exception as error:  # the errors of its HTTP client differ from version to version
        from huggingface_hub import constants

        message = " ".join(f"{error}".split()) or type(error).__name__
        offline = "offline (HF_HUB_OFFLINE is set) and not in the hub's cache"
        raise _Unavailable(f"{name}: {offline if constants.HF_HUB_OFFLINE else message}") from error


def _hub_file(source: HubFile, revision: str) -> Path:
    """Returns a hub file in the hub's own cache, downloading it if it is not there."""
    import huggingface_hub as hub

    cached = hub.try_to_load_from_cache(source.repo, source.file, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    # a first request: without network, the download would retry for half a minute
    hub.get_hf_file_metadata(hub.hf_hub_url(source.repo, source.file, revision=revision))
    return Path(hub.hf_hub_download(source.repo, source.file, revision=revision))


def _etag(source: HubFile, commit: str, path: Path) -> str:
    """Returns the hub's digest of a large file, from its name in the cache or from the hub."""
    import huggingface_hub as hub

    if path.is_symlink():
        return path.readlink().name
    return hub.get_hf_file_metadata(hub.hf_hub_url(source.repo, source.file, revision=commit)).etag


def _delete(path: Path) -> None:
    """Removes a file of the hub's cache: the links, and the file that they point to."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)
