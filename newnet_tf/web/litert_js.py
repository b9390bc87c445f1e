"""LiteRT.js, the engine of the page: one npm package, its digest pinned, kept once it is there.

The package is `@litertjs/core`, Apache-2.0. Of it a site carries the module and three builds of the
WebAssembly: with relaxed SIMD, the same with threads, and one for browsers without either.
Standard library only, but for the progress bar.
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

from newnet_tf.weights.fetch import home
from newnet_tf.weights.reader import beside

PACKAGE, VERSION = "@litertjs/core", "2.5.3"
ARCHIVE = f"litertjs-core-{VERSION}.tgz"  # as `npm pack` calls it
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
# The module asks for a second package, by a name that no browser resolves; `static/loader.js` is ours.
LOADER, ASKED = "loader.js", '"@litertjs/wasm-utils"'
TIMEOUT = 60
CHUNK = 1 << 18


class EngineError(RuntimeError):
    """LiteRT.js that cannot be had, or is not what its digest says; the message says what helps."""


def files(assets: Path | None = None) -> dict[str, bytes]:
    """Returns the engine's files by the names that they have in a site.

    Args:
        assets: the package's archive as `npm pack` writes it, or a folder that holds it. Default:
            the copy kept under `NEWNET_HOME`; where there is none, the npm registry.

    Raises:
        EngineError: where the archive is not to be had, or is another one.
    """
    data = _given(assets) if assets else _kept() or _downloaded()
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        found = {name: archive.extractfile(member).read() for name, member in MEMBERS.items()}
    asked = ASKED.encode()
    if found[MODULE].count(asked) != 1:
        raise EngineError(f"{ARCHIVE} must import {ASKED} once. Received: another number of times")
    found[MODULE] = found[MODULE].replace(asked, f'"./{LOADER}"'.encode())
    return found


def registry() -> str:
    """Returns the address of the npm registry: as npm is set up here, else the public one."""
    named = next((os.environ[name] for name in SETTINGS if os.environ.get(name)), None)
    npm = None if named else shutil.which("npm")
    if npm:
        asked = [npm, "config", "get", "registry"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        named = answer.stdout.strip() if answer.returncode == 0 else None
    is_address = named and named.startswith(("http://", "https://"))
    return (named if is_address else REGISTRY).rstrip("/")


def _given(assets: Path) -> bytes:
    file = assets / ARCHIVE if assets.is_dir() else assets
    if not file.is_file():
        raise EngineError(
            f"`assets` must be {ARCHIVE} or a folder that holds it; `npm pack {PACKAGE}@{VERSION}` "
            f"writes it. Received: {assets}, where it is not"
        )
    return _checked(file.read_bytes(), str(file))


def _kept() -> bytes | None:
    file = _place()
    data = file.read_bytes() if file.is_file() else b""
    return data if _digest(data) == SHA512 else None


def _downloaded() -> bytes:
    host = registry()
    address = f"{host}/{PACKAGE}/-/{PACKAGE.rpartition('/')[2]}-{VERSION}.tgz"
    named = urllib.parse.urlsplit(host).hostname
    try:
        data = b"".join(_chunks(address, f"{PACKAGE} {VERSION} from {named}"))
    except (OSError, ValueError) as error:  # URLError is an OSError
        raise EngineError(
            f"{PACKAGE} {VERSION} must come from the npm registry, or be given: where there is a "
            f"network run `npm pack {PACKAGE}@{VERSION}`, then pass the file it writes with --assets. "
            f"Received: {named}: {error}"
        ) from error
    data = _checked(data, f"what {named} sent")
    with beside(_place()) as part:
        part.write_bytes(data)
    return data


def _chunks(address: str, title: str) -> Iterator[bytes]:
    from rich.console import Console
    from rich.progress import wrap_file

    with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        console = Console(file=sys.stderr)
        with wrap_file(answer, size, description=title, console=console) as shown:
            while chunk := shown.read(CHUNK):
                yield chunk


def _checked(data: bytes, where: str) -> bytes:
    found = _digest(data)
    if found != SHA512:
        raise EngineError(
            f"{PACKAGE} {VERSION} must have the sha512 {SHA512:.16}…. Received: {found:.16}… "
            f"({where}, {len(data)} bytes)"
        )
    return data


def _place() -> Path:
    return home() / "npm" / ARCHIVE


def _digest(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()
