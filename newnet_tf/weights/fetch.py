"""From a tag to a local file: found or downloaded, its digest checked, converted once.

A card's sources are tried in order: a file inside an installed distribution, a file on the hub.
What is accepted is converted and kept as `weights/<model>.<tag>.<digest>.safetensors` in the folder
`NEWNET_HOME` (default: `~/.cache/newnet_tf`); later uses take it without network and conversion. A
branch of the hub is resolved once; the commit is kept beside, in `<model>.<tag>.json`.
"""

import hashlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import numpy as np

from newnet_tf.models.config import HubFile, PackageFile, Weights
from newnet_tf.weights import CheckpointError, Target, assign, reader

FORMAT = "newnet_tf 1"
SHA256 = re.compile("[0-9a-f]{64}")


class _Unavailable(Exception):
    """A source that does not give its file; the message says why and what would help."""


@dataclass(frozen=True)
class Found:
    """A source's file on this machine, its digest checked.

    Args:
        path: the file. sha256: its digest. source: where it came from, in words.
    """

    path: Path
    sha256: str
    source: str


@dataclass(frozen=True)
class LockedFile:
    """What a hub file was when it was first downloaded."""

    repo: str
    file: str
    revision: str
    commit: str
    sha256: str


def obtain(target: Target, weights: Weights) -> Path:
    """Returns the local file of `weights`, converted to our own naming.

    Args:
        target: `Target` of the network. weights: one of its card's `Weights`.

    Returns:
        Path of a safetensors file whose metadata tell source, digest and license.

    Raises:
        CheckpointError: if no source gives the file, or it is not what the digest says, or it does
            not fit the network.
    """
    store = home() / "weights"
    stem = f"{target.card.name}.{weights.tag}"
    ready = _converted(store, stem, weights)
    if ready:
        return ready
    store.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(store / f".{stem}.lock")
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        _tell(f"{stem}: another process is fetching it, waiting")
        lock.acquire()
    try:
        return _converted(store, stem, weights) or _make(store, stem, target, weights)
    finally:
        lock.release()


def home() -> Path:
    """Returns the folder of our files: `NEWNET_HOME`, by default `~/.cache/newnet_tf`."""
    return Path(os.environ.get("NEWNET_HOME") or "~/.cache/newnet_tf").expanduser()


def _converted(store: Path, stem: str, weights: Weights) -> Path | None:
    """Returns the file of an earlier conversion if it is there and sound."""
    for source in weights.sources:
        pin = _pin(store, stem, source)
        sha256 = source.sha256 or (pin and pin.sha256)
        if sha256:
            path = store / f"{stem}.{sha256[:12]}.safetensors"
            if path.exists() and _sound(path, sha256):
                return path
    return None


def _pin(store: Path, stem: str, source: HubFile | PackageFile) -> LockedFile | None:
    try:
        pin = LockedFile(**json.loads((store / f"{stem}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    same = isinstance(source, HubFile) and (pin.repo, pin.file, pin.revision) == (
        source.repo,
        source.file,
        source.revision,
    )
    return pin if same else None


def _sound(path: Path, sha256: str) -> bool:
    try:
        kept = reader.read(path)
    except CheckpointError:
        return False
    about = dict(kept.metadata)
    content = about.pop("content", None)
    expected = {"format": FORMAT, "sha256": sha256}
    return about.items() >= expected.items() and content == _content(kept.tensors, about)


def _content(tensors: Mapping[str, np.ndarray], about: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape};".encode())
        digest.update(np.ascontiguousarray(tensor))
    return digest.hexdigest()


def _make(store: Path, stem: str, target: Target, weights: Weights) -> Path:
    for unsound in store.glob(f"{stem}.*.safetensors"):
        unsound.unlink()
    reasons = []
    for source in weights.sources:
        try:
            found = _locate(source, store, stem)
        except _Unavailable as reason:
            reasons.append(f"{reason}")
            continue
        _tell(
            f"{stem}: {found.source} (license {weights.license}, by {weights.author}); "
            f"converting to {store}"
        )
        return _convert(found, store, stem, target, weights)
    tried = "\n  ".join(reasons)
    raise CheckpointError(
        f"`weights` must come from one of the sources of {stem!r}, or be the path of a checkpoint "
        f"file. No source gives it:\n  {tried}\nReceived: weights={weights.tag!r}"
    )


def _convert(found: Found, store: Path, stem: str, target: Target, weights: Weights) -> Path:
    model = target.build(weights.classes)
    assign.fill(model, reader.read(found.path), target, fresh_classifier=False)
    tensors = reader.tensors_of(model)
    path = store / f"{stem}.{found.sha256[:12]}.safetensors"
    about = {
        "format": FORMAT,
        "model": target.card.name,
        "tag": weights.tag,
        "source": found.source,
        "sha256": found.sha256,
        "license": weights.license,
    }
    return reader.write(path, tensors, about | {"content": _content(tensors, about)})


def _locate(source: HubFile | PackageFile, store: Path, stem: str) -> Found:
    if isinstance(source, PackageFile):
        return _installed(source)
    return _downloaded(source, store, stem)


def _installed(source: PackageFile) -> Found:
    """Finds a distribution's file without importing the distribution."""
    spec = importlib.util.find_spec(source.module)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = next((p for f in folders if (p := Path(f) / source.file).is_file()), None)
    if path is None:
        raise _Unavailable(
            f"package {source.distribution}: not installed here (pip install {source.distribution})"
        )
    found = _sha256(path)
    if found != source.sha256:
        raise _Unavailable(
            f"package {source.distribution}: {path} has the digest {found}, not {source.sha256} "
            f"(pip install --force-reinstall {source.distribution})"
        )
    return Found(path, found, f"file {source.file} of the package {source.distribution}")


def _downloaded(source: HubFile, store: Path, stem: str) -> Found:
    """Finds a file in the hub's cache or downloads it, and checks its digest."""
    pin = _pin(store, stem, source)
    name = f"hub file {source.repo}/{source.file}"
    revision = pin.commit if pin else source.revision
    recorded = f" (recorded in {store / stem}.json)" if pin else ""
    with _reaching(f"{name} at {revision}{recorded}"):
        path = _hub_file(source, revision)
        commit = path.parents[len(Path(source.file).parts) - 1].name  # .../snapshots/<commit>/file
        sha256 = source.sha256 or (pin.sha256 if pin else _etag(source, commit, path))
    if not SHA256.fullmatch(sha256):
        raise _Unavailable(f"{name}: neither card nor hub gives a sha256 to check it against")
    found = _sha256(path)
    if found != sha256:
        _delete(path)
        raise _Unavailable(
            f"{name}: what came has the digest {found}, not {sha256}; it was deleted, try again"
        )
    if pin is None:
        pin = LockedFile(source.repo, source.file, source.revision, commit, sha256)
        with reader.beside(store / f"{stem}.json") as part:
            part.write_text(json.dumps(asdict(pin), indent=1), encoding="utf-8")
    return Found(path, sha256, f"{name} at commit {commit}")


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    """Turns whatever the hub's library raises into the reason why `name` cannot be had."""
    try:
        yield
    except Exception as error:  # its HTTP client's own errors come through, and clients change
        from huggingface_hub import constants

        said = " ".join(f"{error}".split()) or type(error).__name__
        offline = "offline (HF_HUB_OFFLINE is set) and not in the hub's cache"
        raise _Unavailable(f"{name}: {offline if constants.HF_HUB_OFFLINE else said}") from error


def _hub_file(source: HubFile, revision: str) -> Path:
    """Returns a hub file in the hub's own cache, downloading it if it is not there."""
    import huggingface_hub as hub

    cached = hub.try_to_load_from_cache(source.repo, source.file, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    # asked once first: without network, the download would retry for half a minute
    hub.get_hf_file_metadata(hub.hf_hub_url(source.repo, source.file, revision=revision))
    return Path(hub.hf_hub_download(source.repo, source.file, revision=revision))


def _etag(source: HubFile, commit: str, path: Path) -> str:
    """Returns the hub's digest of a large file: the name it has in the cache, or the hub says."""
    import huggingface_hub as hub

    if path.is_symlink():
        return path.readlink().name
    return hub.get_hf_file_metadata(hub.hf_hub_url(source.repo, source.file, revision=commit)).etag


def _delete(path: Path) -> None:
    """Removes a file of the hub's cache: the pointer, and all that it points to."""
    while path.is_symlink():
        pointed = path.parent / path.readlink()
        path.unlink()
        path = pointed
    path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(text: str) -> None:
    print(f"newnet_tf: {text}", file=sys.stderr)
