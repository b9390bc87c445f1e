"""The export config of each precision, and the packages that precisions need."""

import dataclasses
from collections.abc import Iterable

from newnet_tf.deploy import fingerprint
from newnet_tf.deploy.export_config import Calibration, ExportConfig
from newnet_tf.deploy.image_batch import ImageBatch
from newnet_tf.deploy.quantization.precisions import PRECISIONS, uses_calibration_images


def check_packages(precisions: Iterable[str]) -> None:
    """Raises ValueError where a precision's package is not installed."""
    for precision in precisions:
        package = PRECISIONS[precision].package
        if package and not fingerprint.versions_of(package):
            raise ValueError(
                f"{precision!r} needs {package}: `pip install 'newnet_tf[quantizer]'`. "
                "Received: it is not installed"
            )


def with_precision(
    base: ExportConfig, precision: str, calibration_method: str, images: ImageBatch | None
) -> ExportConfig:
    """Returns the config of one precision."""
    package, versions, calibration = PRECISIONS[precision].package, base.versions, None
    if package:
        versions = {**versions, **fingerprint.versions_of(package)}
    if images and uses_calibration_images(precision):
        calibration = Calibration(image_names=images.names, count=len(images), sha256=images.sha256)
    return dataclasses.replace(
        base,
        precision=precision,
        versions=versions,
        calibration=calibration,
        calibration_method=calibration_method if precision == "int8-full" else None,
    )
