"""What an export returns: a file, its config and its verification. Results can be used as paths."""

import os
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.deploy.interpreter import Delegation
from newnet_tf.deploy.verification import Verification


@dataclass(frozen=True, kw_only=True)
class ExportResult(os.PathLike):
    """One TFLite file that was written, or that was there already. It can be used as a path.

    Args:
        file: `Path`.

        config: `ExportConfig`.

        delegation: `Delegation`, what XNNPACK takes of it.

        verification: `Verification`, None for a file for timing only.

        cached: bool, whether an earlier file with the same digest was kept.
    """

    file: Path
    config: ExportConfig
    delegation: Delegation
    verification: Verification | None
    cached: bool

    def __fspath__(self) -> str:
        return os.fspath(self.file)

    def __str__(self) -> str:
        size = f"{self.file.stat().st_size / 1e6:.2f} MB" if self.file.exists() else "removed"
        verified = self.verification or "not verified (timing only)"
        return f"{self.file}: {size}, XNNPACK {self.delegation}; {verified}"


@dataclass(frozen=True)
class OnnxResult(os.PathLike):
    """An ONNX file that was written. It can be used as a path.

    Args:
        file: `Path`.

        config: `ExportConfig`.

        opset: int.

        verification: `Verification`, None for a file for timing only.
    """

    file: Path
    config: ExportConfig
    opset: int
    verification: Verification | None

    def __fspath__(self) -> str:
        return os.fspath(self.file)

    def __str__(self) -> str:
        verified = self.verification or "not verified (timing only)"
        return f"{self.file}: opset {self.opset}; {verified}"
