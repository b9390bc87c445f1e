"""TensorFlow's and Keras' messages at start, and those of native code, kept off the terminal."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet(show_failure: bool = True) -> Iterator[None]:
    """Suppresses what native code writes to stdout and stderr; shows it if the block fails.

    Args:
        show_failure: bool, whether to show it then. Default: True.

    It redirects the process's own file descriptors, so other threads are silent for that time too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    copies = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    with tempfile.TemporaryFile() as log:
        for descriptor in copies:
            os.dup2(log.fileno(), descriptor)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, copy in copies.items():
                os.dup2(copy, descriptor)
                os.close(copy)
            if failed and show_failure:
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace"))


def start_keras() -> Any:
    """Imports Keras and runs an operation, without TensorFlow's messages; returns the module."""
    with quiet():
        import keras

        keras.ops.add(keras.ops.ones((1,)), 1)
    return keras
