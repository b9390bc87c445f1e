"""Exported files of a detector: raw outputs and detections, TFLite and ONNX, give the model's boxes."""

import dataclasses

import numpy as np
import pytest
import tiny_detector

import newnet_tf
from newnet_tf.deploy import export_onnx, export_tflite

IMAGES = [
    np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8) for seed in range(6)
]


def detector(style="tf"):
    """Returns a tiny detector and its metadata, with few detections an image."""
    config = tiny_detector.config(style, score_threshold=0.3, max_detections=20)
    metadata = dataclasses.replace(tiny_detector.metadata(style), task_config=config.to_dict())
    model = tiny_detector.model(style)
    newnet_tf.set_metadata(model, metadata)
    return model, metadata


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{kind: file} of a detector, and its Keras predictor."""
    folder, (model, metadata) = tmp_path_factory.mktemp("files"), detector()
    options = {"validation_images": IMAGES}
    found = {}
    for embed in (False, True):
        results = export_tflite(
            model,
            metadata,
            folder,
            precisions=("fp32", "int8-full"),
            calibration_images=IMAGES,
            embed_postprocess=embed,
            **options,
        )
        found |= {result.file.name: result for result in results}
        result = export_onnx(model, metadata, folder, embed_postprocess=embed, **options)
        found[result.file.name] = result
    return found, newnet_tf.load_predictor(model)


NAMES = (
    "tiny.fp32.tflite",
    "tiny.int8-full.tflite",
    "tiny.onnx",
    "tiny.fp32.postprocessed.tflite",
    "tiny.int8-full.postprocessed.tflite",
    "tiny.postprocessed.onnx",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_gives_the_boxes_of_the_model(files, name):
    found, keras_predictor = files
    assert tuple(sorted(found)) == tuple(sorted(NAMES))
    result = found[name]
    assert result.verification.passed
    predictor = newnet_tf.load_predictor(result.file)
    assert predictor.class_names == tiny_detector.CLASS_NAMES
    if "postprocessed" in name:  # whose boxes are clipped after non-maximum suppression
        metadata = keras_predictor.metadata
        rule = {**metadata.task_config, "nms": "tf"}
        metadata = dataclasses.replace(metadata, task_config=rule)
        keras_predictor = dataclasses.replace(keras_predictor, metadata=metadata)
    is_exact = "int8" not in name
    for image in IMAGES:
        expected, actual = keras_predictor(image), predictor(image)
        assert expected
        if not is_exact:
            continue
        assert [p.label for p in actual] == [p.label for p in expected]
        np.testing.assert_allclose(
            [p.score for p in actual], [p.score for p in expected], atol=1e-4
        )
        np.testing.assert_allclose([p.box for p in actual], [p.box for p in expected], atol=0.05)


def test_the_operator_runs_after_one_partition(files):
    found, _ = files
    delegation = found["tiny.fp32.postprocessed.tflite"].delegation
    assert delegation.partitions == 1
    assert delegation.fallback_ops == ("TFLite_Detection_PostProcess",)
    figures = found["tiny.fp32.postprocessed.tflite"].verification.figures
    assert figures["box_agreement"] == 1
    assert "cosine" not in figures


def test_what_cannot_be_embedded_is_refused(tmp_path):
    model, metadata = detector("torchvision")
    with pytest.raises(ValueError, match="the operator reads boxes as ty, tx, th, tw"):
        export_tflite(model, metadata, tmp_path, embed_postprocess=True, verify=False)
    with pytest.raises(ValueError, match="must come with a detector"):
        newnet_tf.export(
            "lenet5", tmp_path, embed_postprocess=True, allow_untrained=True, verify=False
        )
    with pytest.raises(ValueError, match="must come with format 'tflite' or 'onnx'"):
        newnet_tf.export("lenet5", tmp_path, format="saved_model", embed_postprocess=True)
    assert not list(tmp_path.iterdir())
