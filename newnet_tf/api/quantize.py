"""`newnet_tf.quantize`: full int8, with an analysis of what each layer loses."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newnet_tf.api.arguments import check_images, check_model, check_output_folder
from newnet_tf.api.image_sets import DRAWN, MIN_CALIBRATION, Images, drawn
from newnet_tf.api.labeled_images import (
    PRECISION,
    LabeledImages,
    calibration_sample,
    labeled_validation_set,
)
from newnet_tf.api.quantize_result import QuantizeResult, row
from newnet_tf.deploy import export_options
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.inference.model import load_model
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils import io
from newnet_tf.utils.progress import note

if TYPE_CHECKING:
    from newnet_tf.deploy import ExportResult
    from newnet_tf.deploy.quantization.sensitivity import LayerSensitivity, SensitivityAnalysis

FOLDER = Path("build/quantize")  # default folder


def quantize(
    model: Any,
    output: str | os.PathLike = FOLDER,
    *,
    calibration_images: Images,
    validation_images: Images = None,
    sensitivity: bool = False,
    exclude_layers: int | Sequence[str] | None = None,
    max_accuracy_drop: float | None = None,
    calibration_method: str = export_options.DEFAULT_CALIBRATION_METHOD,
    weights: str | os.PathLike | None = None,
    preprocess_as: str | None = None,
    preprocess: PreprocessConfig | str | os.PathLike | None = None,
    class_names: Sequence[str] | str | os.PathLike | None = None,
    classes: int | None = None,
    task: str | None = None,
    outputs: str | None = None,
    activation: str | None = None,
) -> QuantizeResult:
    """Writes an int8-full TFLite file of a classifier, and says which layers lose most by int8.

    With `sensitivity` alone no TFLite file is written. A layer's SQNR is that of the model's logits
    where this layer alone is int8. Images that calibrate are not used for validation, unless there are
    no others.

    Args:
        model: what `load_model` takes.

        output: path of a folder, created if it does not exist. Default: `build/quantize`.

        calibration_images: images to measure activation ranges on: a list of images, path of a folder,
            or `Split` of a dataset; of folder and split 100 are drawn.

        validation_images: images to compare on, in the same forms; a folder of class folders (or of
            ImageNet's wnids) and a split bring labels, and so top-1. Default: the calibration images,
            without top-1.

        sensitivity: bool, whether to write a table (CSV) and a chart (PNG) of all layers, and to
            propose layers to exclude. Default: False.

        exclude_layers: int or names of layers: the N most sensitive layers, or those named, stay
            float32. Default: None.

        max_accuracy_drop: float, percentage points: as few layers stay float32 as keep the loss of
            top-1 within it. It needs labeled `validation_images`. Default: None.

        calibration_method: str, how activation ranges are chosen: `"mse"` (default), `"min-max"`,
            `"percentile"` or `"entropy"`.

        weights: str or path, as in `load_model`.

        preprocess_as: str, as in `load_model`.

        preprocess: `PreprocessConfig` or path, as in `load_model`.

        class_names: names or path, as in `load_model`.

        classes: int, as in `load_model`.

        task: str, as in `load_model`.

        outputs: str, what the model's outputs are, as in `load_model`.

        activation: str, as in `load_model`.

    Returns:
        A `QuantizeResult`.

    Raises:
        ValueError: if an argument has another value, the model has no trained weights, or
            `max_accuracy_drop` is out of reach.

        ExportError: if the file does not give the model's outputs.

    Example:
        >>> flowers = newnet_tf.load_dataset("photos/flowers")
        >>> print(newnet_tf.quantize("own.keras", "out", calibration_images=flowers.split("train"),
        ...                          validation_images=flowers.split(), max_accuracy_drop=0.5))
    """
    _check(exclude_layers, max_accuracy_drop, validation_images, calibration_method)
    given = {
        "weights": weights,
        "preprocess_as": preprocess_as,
        "preprocess": preprocess,
        "class_names": class_names,
        "classes": classes,
        "task": task,
        "outputs": outputs,
        "activation": activation,
    }
    check_model(model, **given)
    check_images("calibration_images", calibration_images, MIN_CALIBRATION, "--calibration-images")
    check_images("validation_images", validation_images, 1, "--images")
    check_output_folder(output)
    loaded = load_model(model, **given)
    loaded.check_trained()
    calibration = calibration_sample(calibration_images, loaded)
    validation = labeled_validation_set(validation_images, loaded, calibration)
    is_named = exclude_layers is not None and not isinstance(exclude_layers, int)
    names = tuple(exclude_layers) if is_named else ()  # type: ignore[arg-type]
    needs_layers = bool(exclude_layers) or max_accuracy_drop is not None
    layers, summary, files = (), "", {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if sensitivity or (needs_layers and not is_named):
            analysis = _analysis(loaded, calibration, validation, calibration_method)
            layers = tuple(analysis.measure_layers(min(DRAWN, analysis.image_count)))
            if not names:
                names, summary = _select(
                    analysis, layers, exclude_layers, max_accuracy_drop, loaded.name
                )
            if sensitivity:
                files = _write(Path(output), loaded.name, layers, names)
        result = None
        if exclude_layers is not None or max_accuracy_drop is not None or not sensitivity:
            result = _export(loaded, output, calibration, validation, names, calibration_method)
    return QuantizeResult(
        model=loaded.name,
        file=result,
        layers=layers,
        exclude_layers=names,
        summary=summary,
        **files,
    )


def _check(
    exclude_layers: int | Sequence[str] | None,
    max_accuracy_drop: float | None,
    validation_images: Images,
    calibration_method: str,
) -> None:
    export_options.check_calibration_method([PRECISION], calibration_method)
    if isinstance(exclude_layers, int) and exclude_layers < 0:
        raise ValueError(f"`exclude_layers` must not be negative. Received: {exclude_layers}")
    if isinstance(exclude_layers, str):
        raise ValueError(
            f"`exclude_layers` must be a number or names. Received: {exclude_layers!r}"
        )
    if max_accuracy_drop is not None and not max_accuracy_drop >= 0:
        raise ValueError(f"`max_accuracy_drop` must not be negative. Received: {max_accuracy_drop}")
    if max_accuracy_drop is not None and exclude_layers is not None:
        raise ValueError(
            "`exclude_layers` and `max_accuracy_drop` must not be given together. "
            f"Received: exclude_layers={exclude_layers!r}, max_accuracy_drop={max_accuracy_drop}"
        )
    if max_accuracy_drop is not None and validation_images is None:
        raise ValueError(
            "`max_accuracy_drop` needs `validation_images` (--images), labeled, to count top-1. "
            "Received: none"
        )


def _analysis(
    loaded: LoadedModel, calibration: Sequence[Any], validation: LabeledImages, method: str
) -> "SensitivityAnalysis":
    from newnet_tf.deploy.quantization.sensitivity import SensitivityAnalysis

    note(f"{loaded.name}: measuring ranges on {len(calibration)} images")
    return SensitivityAnalysis(
        loaded.model,
        loaded.metadata,
        calibration,
        validation.images,
        validation.labels,
        calibration_method=method,
        log=note,
    )


def _select(
    analysis: "SensitivityAnalysis",
    layers: "Sequence[LayerSensitivity]",
    count: Any,
    max_accuracy_drop: float | None,
    model: str,
) -> tuple[tuple[str, ...], str]:
    """Returns the layers that stay float32, and what they gain."""
    from newnet_tf.deploy.quantization import layer_selection

    if max_accuracy_drop is not None:
        selection = layer_selection.select_within_drop(analysis, layers, max_accuracy_drop)
    elif count is not None:
        selection = layer_selection.select_count(layers, int(count), model)
    else:
        selection = layer_selection.propose(analysis, layers)
    return selection.exclude_layers, selection.summary


def _write(
    folder: Path, name: str, layers: "Sequence[LayerSensitivity]", exclude_layers: Sequence[str]
) -> dict[str, Path]:
    """Writes the table of all layers and its chart; returns their paths."""
    from newnet_tf.visualization import charts

    rows = [row(layer, layer.name in exclude_layers) for layer in layers]
    table = folder / f"{name}.sensitivity.csv"
    io.write_csv(table, list(rows[0]), rows)
    values = [(layer.name, layer.verification.sqnr) for layer in layers]
    chart = table.with_suffix(".png")
    io.write_bytes(chart, charts.png(charts.layer_sensitivity(values, exclude_layers)))
    note(f"wrote {table} and {chart.name}")
    return {"table": table, "chart": chart}


def _export(
    loaded: LoadedModel,
    output: str | os.PathLike,
    calibration: Sequence[Any],
    validation: LabeledImages,
    exclude_layers: Sequence[str],
    calibration_method: str,
) -> "ExportResult":
    from newnet_tf.deploy import export_tflite

    [result] = export_tflite(
        loaded.model,
        loaded.metadata,
        output,
        precisions=[PRECISION],
        calibration_images=calibration,
        exclude_layers=exclude_layers,
        calibration_method=calibration_method,
        validation_images=drawn(validation.images),
    )
    return result
