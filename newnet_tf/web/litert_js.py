"""LiteRT.js, the engine of the page: an npm package with a pinned digest, downloaded once.

The package is `@litertjs/core`, Apache-2.0. A site contains its module and three builds of the
WebAssembly: with relaxed SIMD, with relaxed SIMD and threads, and for browsers without either.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from newnet_tf.utils.io import write_bytes
from newnet_tf.weights.fetch import home

PACKAGE, VERSION = "@litertjs/core", "2.5.3"
ARCHIVE = f"litertjs-core-{VERSION}.tgz"  # the name that `npm pack` gives it
SHA512 = (
    "3e51a66cc3aaf568ad5fb14ed2385b749c3d1ad85ab6ccae0905e34edff0259a"
    "3414b6b0e3cab8b73f08c2a82a08892f8981abf4e1432f59029cde27cd6a3225"
)
REGISTRY = "https://registry.npmjs.org"
SETTINGS = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
MODULE = "core.js"
BUILDS = tuple(f"litert_wasm{build}_internal" for build in ("", "_threaded", "_compat"))
MEMBERS = {MODULE: "package/dist/index.js"}
MEMBERS |= {f"{b}.{kind}": f"package/wasm/{b}.{kind}" for b in BUILDS for kind in ("js", "wasm")}
# The module imports a second package, by a name that browsers do not resolve; `static/loader.js`
# replaces it.
LOADER, IMPORTED = "loader.js", '"@litertjs/wasm-utils"'
TIMEOUT = 60
CHUNK = 1 << 18


class EngineError(RuntimeError):
    """LiteRT.js cannot be downloaded, or has another digest; the message says what to do."""


def files(assets: Path | None = None) -> dict[str, bytes]:
    """Returns the engine's files by the names that they have in a site.

    Args:
        assets: path of the package's archive as `npm pack` writes it, or of a folder with it.
            Default: the copy in `NEWNET_HOME`, else the npm registry.

    Returns:
        {name: bytes}.

    Raises:
        EngineError: if the archive cannot be downloaded, or is another one.
    """
    data = _local(assets) if assets else _cached() or _download()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        contents = {name: archive.extractfile(member).read() for name, member in MEMBERS.items()}
    imported = IMPORTED.encode()
    count = contents[MODULE].count(imported)
    if count != 1:
        raise EngineError(f"{ARCHIVE} must import {IMPORTED} once. Received: {count} times")
    contents[MODULE] = contents[MODULE].replace(imported, f'"./{LOADER}"'.encode())
    return contents


def registry() -> str:
    """Returns the address of the npm registry: npm's setting on this machine, else the public one."""
    address = next((os.environ[name] for name in SETTINGS if os.environ.get(name)), None)
    npm = None if address else shutil.which("npm")
    if npm:
        command = [npm, "config", "get", "registry"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        address = run.stdout.strip() if run.returncode == 0 else None
    is_address = address and address.startswith(("http://", "https://"))
    return (address if is_address else REGISTRY).rstrip("/")


def _local(assets: Path) -> bytes:
    file = assets / ARCHIVE if assets.is_dir() else assets
    if not file.is_file():
        raise EngineError(
            f"`assets` must be {ARCHIVE} or a folder with it; `npm pack {PACKAGE}@{VERSION}` "
            f"writes it. Received: {assets}, where it is not"
        )
    return _checked(file.read_bytes(), str(file))


def _cached() -> bytes | None:
    file = _cache_path()
    data = file.read_bytes() if file.is_file() else b""
    return data if _digest(data) == SHA512 else None


def _download() -> bytes:
    host = registry()
    address = f"{host}/{PACKAGE}/-/{PACKAGE.rpartition('/')[2]}-{VERSION}.tgz"
    host_name = urllib.parse.urlsplit(host).hostname
    try:
        data = b"".join(_chunks(address, f"{PACKAGE} {VERSION} from {host_name}"))
    except (OSError, ValueError) as error:  # URLError is an OSError
        raise EngineError(
            f"{PACKAGE} {VERSION} must come from the npm registry, or from a file: on a machine with "
            f"internet access run `npm pack {PACKAGE}@{VERSION}`, then pass its file with --assets. "
            f"Received: {host_name}: {error}"
        ) from error
    data = _checked(data, f"from {host_name}")
    write_bytes(_cache_path(), data)
    return data


def _chunks(address: str, title: str) -> Iterator[bytes]:
    from rich.console import Console
    from rich.progress import wrap_file

    with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
        size = int(response.headers.get("Content-Length") or 0)
        console = Console(file=sys.stderr)
        with wrap_file(response, size, description=title, console=console) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk


def _checked(data: bytes, source: str) -> bytes:
    digest = _digest(data)
    if digest != SHA512:
        raise EngineError(
            f"{PACKAGE} {VERSION} must have the sha512 {SHA512:.16}…. Received: {digest:.16}… "
            f"({source}, {len(data)} bytes)"
        )
    return data


def _cache_path() -> Path:
    return home() / "npm" / ARCHIVE


def _digest(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()
