"""A TFLite file run in a child process: where the file crashes the runtime, that is an error here.

Interpreters trust a file more than they should: with a few changed bytes it can make them write where
they must not. Files from elsewhere are therefore run by a child process, with messages over a pipe.
Where the child dies, the file is an invalid model, and the parent continues. Needs what `runtime`
needs.
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
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from newnet_tf.deploy import config_file
from newnet_tf.deploy.runtime import ModelFileError, Outputs, Runner
from newnet_tf.deploy.tensor_spec import TensorSpec

LENGTH = struct.Struct("<Q")
TIMEOUT = 300  # seconds that the child may take for a message
SINGLE = ""  # name of an array that was passed without a name
ATTRIBUTES = (
    "image_size",
    "channels",
    "classes",
    "is_classifier",
    "expects_uint8_pixels",
    "output_type",
)


class SandboxedRunner:
    """A `Runner` in a child process, with the attributes that describe its file.

    Args:
        file: path, as of `Runner`.

        threads: int, as of `Runner`. Default: 1.

    Attributes:
        file: `Path`.

        config: `ExportConfig` or None.

        inputs, outputs: tuples of `TensorSpec`.

        is_classifier, image_size, channels, classes, expects_uint8_pixels, output_type: as of
            `Runner`.

        dtype: str, NumPy name of the first input's type.

        delegated: str, what XNNPACK takes of the graph.

    Raises:
        ModelFileError: as `Runner`; and where the child dies, or takes over five minutes, here or
            in a call.

        RuntimeError: where no interpreter is installed.

    Example:
        >>> with SandboxedRunner("from_somewhere.tflite") as runner:
        ...     scores = runner(inputs)
    """

    def __init__(self, file: str | os.PathLike, threads: int = 1):
        self.file = Path(file)
        self.config = config_file.read_config(self.file)
        command = [sys.executable, "-m", __name__, os.fspath(self.file), str(threads)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 closed with the child
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        try:
            description = json.loads(self._message())
        except BaseException:
            self.close()
            raise
        self.inputs, self.outputs = (
            tuple(TensorSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in specs)
            for specs in (description["inputs"], description["outputs"])
        )
        self.image_size, self.channels, self.classes = (
            description[name] for name in ("image_size", "channels", "classes")
        )
        self.is_classifier = description["is_classifier"]
        self.expects_uint8_pixels = description["expects_uint8_pixels"]
        self.output_type = description["output_type"]
        self.dtype, self.delegated = description["dtype"], description["delegated"]

    def __call__(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> Outputs:
        """Runs the file; see `Runner`."""
        arrays = dict(inputs) if isinstance(inputs, Mapping) else {SINGLE: inputs}
        try:
            with self._time_limit():
                for part in _encode(arrays):
                    _send(self._child.stdin, part)
        except BrokenPipeError:
            raise self._death() from None
        specs = json.loads(self._message())
        outputs = _decode(specs, [self._message() for _ in specs])
        return outputs if len(self.outputs) > 1 else outputs[self.outputs[0].name]

    def check_classifier(self) -> None:
        """Raises ModelFileError unless the file is an image classifier."""
        Runner.check_classifier(self)  # type: ignore[arg-type]

    def __enter__(self) -> "SandboxedRunner":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child process."""
        self._child.kill()
        self._child.communicate()
        self._log.close()

    def __del__(self):
        if hasattr(self, "_child") and self._child.poll() is None:
            self.close()

    @contextlib.contextmanager
    def _time_limit(self) -> Iterator[None]:
        """Kills a child that takes too long."""
        clock = threading.Timer(TIMEOUT, self._child.kill)
        clock.start()
        try:
            yield
        finally:
            clock.cancel()

    def _message(self) -> bytes:
        """Returns the child's next message.

        Raises:
            ModelFileError: where the child has died, or says that the file is invalid.

            ValueError: for inputs of another kind.
        """
        with self._time_limit():
            data = _receive(self._child.stdout)
        if data is None:
            raise self._death()
        if data.startswith(b'{"error"'):
            message = json.loads(data)
            raise (ModelFileError if message["is_file"] else ValueError)(message["error"])
        return data

    def _death(self) -> Exception:
        """Returns the error that says how the child ended."""
        status = self._child.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        if status >= 0:
            return RuntimeError(f"running {self.file} must give outputs. Received: {lines[-1:]}")
        return ModelFileError(
            f"{self.file} must be a TFLite file that LiteRT can run. Received: an invalid model; the "
            f"runtime ended by signal {-status} ({signal.strsignal(-status)})"
        )


def _encode(arrays: Mapping[str, Any]) -> list[bytes]:
    """Returns arrays as messages: their names, types and shapes, then the values of each."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    specs = [
        {"name": name, "dtype": array.dtype.str, "shape": array.shape}
        for name, array in arrays.items()
    ]
    return [json.dumps(specs).encode(), *(array.tobytes() for array in arrays.values())]


def _decode(specs: list[dict], values: list[bytes]) -> dict[str, np.ndarray]:
    return {
        spec["name"]: np.frombuffer(data, spec["dtype"]).reshape(spec["shape"])
        for spec, data in zip(specs, values, strict=True)
    }


def _send(stream: Any, data: bytes) -> None:
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _receive(stream: Any) -> bytes | None:
    """Returns one message, None where the other side has ended."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


# What follows runs in the child.


def main(file: str, threads: str) -> None:
    """Runs a file on the arrays of each request; errors are messages, too."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else writes to the pipe

    def send_error(text: str, is_file: bool) -> None:
        _send(stream, json.dumps({"error": text, "is_file": is_file}).encode())

    try:
        runner = Runner(file, int(threads))
        description = {name: getattr(runner, name) for name in ATTRIBUTES}
        description |= {
            "inputs": [asdict(spec) for spec in runner.inputs],
            "outputs": [asdict(spec) for spec in runner.outputs],
            "dtype": runner.inputs[0].dtype if runner.inputs else None,
            "delegated": str(runner.delegation()),
        }
    except ValueError as error:  # a `ModelFileError`, or a damaged record
        send_error(f"{error}", True)
        return
    _send(stream, json.dumps(description).encode())
    while (head := _receive(sys.stdin.buffer)) is not None:
        specs = json.loads(head)
        arrays = _decode(specs, [_receive(sys.stdin.buffer) or b"" for _ in specs])
        try:
            outputs = runner(arrays[SINGLE] if set(arrays) == {SINGLE} else arrays)
        except ModelFileError as error:
            send_error(f"{error}", True)
            continue
        except ValueError as error:  # inputs of another kind
            send_error(f"{error}", False)
            continue
        named = outputs if isinstance(outputs, dict) else {runner.outputs[0].name: outputs}
        for part in _encode(named):
            _send(stream, part)


if __name__ == "__main__":
    main(*sys.argv[1:])
