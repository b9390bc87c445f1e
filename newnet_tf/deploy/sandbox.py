"""A TFLite file run in a process of its own: if the file brings the runtime down, it is an error here.

An interpreter believes a file more than it should: a few changed bytes can make it write where it must
not. Files from elsewhere are therefore run by a child, which answers over a pipe; when it dies, the
file is an invalid model, and nothing else is lost. Needs what `runtime` needs.
"""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from newnet_tf.deploy import export_config
from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.runtime import ModelFileError, Runner

LENGTH = struct.Struct("<Q")
SECONDS = 300  # that the child may take for a message


class SandboxedRunner:
    """A `Runner` in a child process, with the attributes that describe its file.

    Args:
        file, threads: as of `Runner`.

    Attributes:
        file: `Path`. recipe: `ExportConfig` or None. size, channels, classes, expects_uint8_pixels, output, and
        dtype, the NumPy name of its input's type: as of `Runner`.

    Raises:
        ModelFileError: as `Runner`; and where the child dies, or takes over five minutes, here or in
        a call. RuntimeError: where no interpreter is installed.

    Example:
        >>> with SandboxedRunner("from_somewhere.tflite") as runner:
        ...     scores = runner(inputs)
    """

    def __init__(self, file: str | os.PathLike, threads: int = 1):
        self.file = Path(file)
        record = export_config.read(self.file)
        self.recipe = ExportConfig.from_record(record) if record else None
        command = [sys.executable, "-m", __name__, os.fspath(self.file), str(threads)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed with the child
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        try:
            facts = json.loads(self._answer())
        except BaseException:
            self.close()
            raise
        self.size, self.channels, self.classes = (facts[k] for k in ("size", "channels", "classes"))
        self.expects_uint8_pixels, self.output_type = facts["expects_uint8_pixels"], facts["output"]
        self.dtype, self.delegated = facts["dtype"], facts["delegated"]

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the file on each input; see `Runner`."""
        inputs = np.ascontiguousarray(inputs)
        head = json.dumps({"dtype": inputs.dtype.name, "shape": inputs.shape}).encode()
        try:
            with self._limited():
                for part in (head, inputs.tobytes()):
                    _send(self._child.stdin, part)
        except BrokenPipeError:
            raise self._died() from None
        shape = json.loads(self._answer())["shape"]
        return np.frombuffer(self._answer(), np.float32).reshape(shape)

    def __enter__(self) -> "SandboxedRunner":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child."""
        self._child.kill()
        self._child.communicate()
        self._log.close()

    def __del__(self):
        if self._child.poll() is None:
            self.close()

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """Ends a child that takes too long."""
        clock = threading.Timer(SECONDS, self._child.kill)
        clock.start()
        try:
            yield
        finally:
            clock.cancel()

    def _answer(self) -> bytes:
        """Returns the child's next message.

        Raises:
            ModelFileError: where it has died, or says that the file is none. ValueError: for inputs
            of another kind.
        """
        with self._limited():
            data = _receive(self._child.stdout)
        if data is None:
            raise self._died()
        if data.startswith(b'{"error"'):
            said = json.loads(data)
            raise (ModelFileError if said["is_file"] else ValueError)(said["error"])
        return data

    def _died(self) -> Exception:
        """Returns the error that says how the child ended."""
        status = self._child.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        if status >= 0:
            return RuntimeError(f"running {self.file} must give an answer. Received: {lines[-1:]}")
        return ModelFileError(
            f"{self.file} must be a TFLite file that LiteRT can run. Received: an invalid model; the "
            f"runtime ended by signal {-status} ({signal.strsignal(-status)})"
        )


def _send(stream, data: bytes) -> None:
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _receive(stream) -> bytes | None:
    """Returns one message, None where the other side has ended."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


# What follows runs in the child.


def main(file: str, threads: str) -> None:
    """Answers each array that comes in with scores; what is wrong is said as a message, too."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else writes to the pipe
    try:
        runner = Runner(file, int(threads))
        names = ("size", "channels", "classes", "expects_uint8_pixels", "output")
        facts = {name: getattr(runner, name) for name in names}
        facts |= {"dtype": np.dtype(runner.dtype).name, "delegated": str(runner.delegation())}
    except ModelFileError as error:
        _send(stream, json.dumps({"error": f"{error}", "is_file": True}).encode())
        return
    _send(stream, json.dumps(facts).encode())
    while (head := _receive(sys.stdin.buffer)) is not None:
        spec, data = json.loads(head), _receive(sys.stdin.buffer)
        try:
            scores = runner(np.frombuffer(data, spec["dtype"]).reshape(spec["shape"]))
        except ValueError as error:  # inputs of another kind
            _send(stream, json.dumps({"error": f"{error}", "is_file": False}).encode())
            continue
        except RuntimeError as error:
            said = f"{file} must be a TFLite file that LiteRT can run. Received: {error}"
            _send(stream, json.dumps({"error": said, "is_file": True}).encode())
            continue
        _send(stream, json.dumps({"shape": scores.shape}).encode())
        _send(stream, scores.astype("<f4").tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
