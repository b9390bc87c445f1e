"""A headless Chromium, driven over a pipe by its own protocol: pages, requests, screenshots.

No driver and no port: Chromium reads JSON messages from file descriptor 3 and writes to 4.
"""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT = 90


def executable() -> str | None:
    """Returns the path of an installed Chromium, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One Chromium with an empty profile.

    Attributes:
        requests: list of str, addresses that pages and their workers asked for, in order.
    """

    def __init__(self, reader, writer):
        self.requests: list[str] = []
        self._reader, self._writer = reader, writer
        self._number, self._rest = 0, b""
        self._session = None

    def send(self, method: str, session: str | None = None, **parameters) -> dict:
        """Calls a method of the protocol; returns its result."""
        number = self._post(method, session, parameters)
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            message = self._next()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
        raise TimeoutError(method)

    def open(self, address: str, width: int = 1280, height: int = 800, **metrics) -> "Browser":
        """Opens a page in a new tab, which later calls speak to."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._watch(self._session)
        view = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False} | metrics
        self.send("Emulation.setDeviceMetricsOverride", self._session, **view)
        self.go(address)
        return self

    def go(self, address: str) -> None:
        self.send("Page.navigate", self._session, url=address)

    def call(self, method: str, **parameters) -> dict:
        """Calls a method of the protocol on the open page."""
        return self.send(method, self._session, **parameters)

    def run(self, script: str) -> object:
        """Runs JavaScript in the page, awaits it, and returns its value."""
        result = self.send(
            "Runtime.evaluate",
            self._session,
            expression=f"(async () => {{ {script} }})()",
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def wait(self, condition: str) -> object:
        """Waits until a JavaScript expression holds; returns its value."""
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            with contextlib.suppress(RuntimeError):  # a page that is still loading
                result = self.run(f"return {condition}")
                if result:
                    return result
            time.sleep(0.05)
        text = self.run("return document.body.innerText")
        raise TimeoutError(f"{condition} must become true. Received:\n{text}")

    def screenshot(self) -> bytes:
        """Returns the whole page as PNG."""
        result = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(result["data"])

    def choose(self, selector: str, file: os.PathLike) -> None:
        """Puts a file into a file input, as the system's dialogue does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def _watch(self, session: str) -> None:
        follow = {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": True}
        for method, parameters in (
            ("Network.enable", {}),
            ("Page.enable", {}),
            ("Target.setAutoAttach", follow),
        ):
            self._post(method, session, parameters)

    def _post(self, method: str, session: str | None, parameters: dict) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        return self._number

    def _next(self) -> dict:
        while b"\0" not in self._rest:
            data = os.read(self._reader, 1 << 20)
            if not data:
                raise EOFError("Chromium ended")
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        if message.get("method") == "Target.attachedToTarget":
            self._watch(message["params"]["sessionId"])
        return message


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """Starts Chromium without a window; it and its profile are gone afterwards."""
    to_child, from_child = os.pipe(), os.pipe()
    # above 4, so that the child's 3 and 4 are free
    read, write = (fcntl.fcntl(f, fcntl.F_DUPFD, 10) for f in (to_child[0], from_child[1]))
    profile = tempfile.mkdtemp(prefix="chromium-")
    command = [
        executable(),
        "--headless=new",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--no-sandbox",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--hide-scrollbars",
        *flags,
        "about:blank",
    ]
    script = f'exec "$@" 3<&{read} 4>&{write}'
    process = subprocess.Popen(
        ["bash", "-c", script, "chromium", *command],
        pass_fds=(read, write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for number in (read, write, to_child[0], from_child[1]):
        os.close(number)
    try:
        yield Browser(from_child[0], to_child[1])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(to_child[1])
        os.close(from_child[0])
        shutil.rmtree(profile, ignore_errors=True)
