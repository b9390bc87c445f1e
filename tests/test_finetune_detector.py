"""Finetuning of a detector: stages, frozen layers, files, errors; on drawn squares."""

import json
import sys

import keras
import numpy as np
import pytest
import tiny_backbone
from PIL import Image

import newnet_tf
from newnet_tf.cli import main
from newnet_tf.finetuning import detector
from newnet_tf.finetuning.detector_drawings import drawings
from newnet_tf.finetuning.detector_report import count_errors

SIZE, COLORS = 96, {"red": (220, 30, 30), "blue": (30, 30, 220)}
BACKBONE = tiny_backbone.NAME
NAME = f"ssdlite_{BACKBONE}"


@pytest.fixture(scope="module", autouse=True)
def _registered():
    with tiny_backbone.registered():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A COCO file of 24 images with a red or a blue square on gray."""
    folder, random = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    images, annotations = [], []
    for i in range(24):
        pixels = np.full((SIZE, SIZE, 3), 128, np.uint8)
        side, name = int(random.integers(36, 60)), list(COLORS)[i % 2]
        x, y = random.integers(0, SIZE - side, 2).tolist()
        pixels[y : y + side, x : x + side] = COLORS[name]
        Image.fromarray(pixels).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": SIZE, "height": SIZE})
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": 1 + i % 2,
                "bbox": [x, y, side, side],
                "area": side**2,
                "iscrowd": 0,
            }
        )
    categories = [{"id": 1 + i, "name": name} for i, name in enumerate(COLORS)]
    file = folder / "boxes.json"
    file.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return file


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Weights of a detector of one class, to start from."""
    keras.utils.set_random_seed(0)
    model = newnet_tf.create_model(NAME, classes=1, weights=None, input_shape=(SIZE, SIZE, 3))
    file = tmp_path_factory.mktemp("weights") / "one.safetensors"
    from newnet_tf.weights import save

    save(model, file)
    return file


@pytest.fixture(scope="module")
def run(data, checkpoint, tmp_path_factory):
    """A run of two epochs of the head on cached features, by SGD, and one of all layers."""
    return newnet_tf.finetune(
        NAME,
        data,
        weights=checkpoint,
        image_size=SIZE,
        output_dir=tmp_path_factory.mktemp("run"),
        head_epochs=2,
        cached_views=1,
        epochs=1,
        overrides={
            "batch_size": 16,
            "augmentation.zoom_out_prob": 0,
            "optimizer": "sgd",
            "lr": 0.02,
            "dtype": "mixed_bfloat16",
        },
    )


def test_a_run_has_both_stages_a_model_and_a_report(run):
    assert list(run.fits) == [detector.HEAD, detector.ALL_LAYERS]
    assert [row["epoch"] for row in run.history] == [1, 2, 3]
    losses = [row["test_loss"] for row in run.history]
    assert losses == sorted(losses, reverse=True)
    assert set(run.metrics) >= {"mAP", "mAP50", "mAP75", "AR100"}
    page = run.report.read_text()
    assert "Worst images" in page
    assert "red" in page
    assert "Precision over recall" in page
    assert page.count('alt="detections, ') == 3
    assert [(stage, epoch) for stage, epoch, _ in drawings(run.output_dir)] == [
        ("head", 1),
        ("head", 2),
        ("training", 1),
    ]
    assert str(run.model_file) in str(run)


def test_the_head_stage_on_cached_features_writes_whole_models(run, data):
    folder = run.output_dir / "head"
    assert not (folder / "features").exists()
    found = newnet_tf.evaluate(folder / "last.keras", data, split="validation")
    last = run.fits[detector.HEAD].history[-1]
    assert found.metrics["mAP"] == pytest.approx(last["test_mAP"], abs=0.5)
    assert json.loads((folder / "run.json").read_text())["data"]["cached_views"] == 1


def test_mixed_precision_trains_and_leaves_a_float32_model_of_softmax_scores(run):
    recipe = json.loads((run.output_dir / "training" / "run.json").read_text())["recipe"]
    assert (recipe["optimizer"], recipe["nesterov"]) == ("sgd", True)
    assert recipe["dtype"] == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in run.model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert run.metadata.task_config["score_function"] == "softmax"


def test_the_file_of_a_run_gives_the_boxes_of_its_model(run, data):
    image = data.parent / "0.png"
    from_file = newnet_tf.load_predictor(run.output_dir)
    from_result = newnet_tf.load_predictor(run)
    assert from_file.class_names == ("red", "blue")
    first, second = (predictor(image) for predictor in (from_file, from_result))
    assert [p.class_index for p in first] == [p.class_index for p in second]
    np.testing.assert_allclose([p.box for p in first], [p.box for p in second], atol=1e-3)


def test_a_stage_freezes_the_backbone_or_its_batch_norm():
    model = newnet_tf.create_model(NAME, classes=1, weights=None, input_shape=(SIZE, SIZE, 3))
    new = {layer.name for layer in detector.new_layers(model)}
    norms = {
        layer.name for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)
    }
    names = {layer.name for layer in model.layers}
    expected = {
        (detector.HEAD, "frozen", 16): new,
        (detector.HEAD, "frozen", 8): new - norms,
        (detector.ALL_LAYERS, "frozen", 16): names - (norms - new),
        (detector.ALL_LAYERS, "trained", 16): names,
    }
    for arguments, trainable in expected.items():
        with detector.trainable_layers(model, *arguments):
            assert {layer.name for layer in model.layers if layer.trainable} == trainable
        assert all(layer.trainable for layer in model.layers)


def test_errors_are_counted_by_image(run):
    errors = count_errors(run.result)
    assert errors.shape == (run.result.n, 2)
    assert errors[:, 0].max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": BACKBONE}, "must be a detector, as boxes has boxes: ssdlite_tiny_backbone"),
        ({"class_weight": "balanced"}, "`class_weight` must be left out for a detector"),
        ({"head_epochs": -1}, r"`head_epochs` \(--head-epochs\) must be an int"),
        ({"frozen_stride": 12}, r"`frozen_stride` \(--frozen-stride\) must be None or among"),
        ({"frozen_stride": 64}, "must be None or among"),
        ({"score_function": "relu"}, r"`score_function` \(--score-function\) must be None or"),
        ({"cached_views": 1.5}, r"`cached_views` \(--cached-views\) must be an int"),
        ({"overrides": {"augmentation.zoom": 1}}, "must be followed by one of"),
        ({"overrides": {"lr": "fast"}}, "`lr` must be float"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(data, checkpoint, tmp_path, arguments, message):
    given = {"model": NAME, "weights": checkpoint, "output_dir": tmp_path, **arguments}
    if given["model"] == BACKBONE:
        given["preprocess_as"] = BACKBONE
    with pytest.raises(ValueError, match=message):
        newnet_tf.finetune(given.pop("model"), data, **given)


def test_a_missing_package_is_named_before_any_work(
    data, checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ImportError, match="pip install faster-coco-eval"):
        newnet_tf.finetune(NAME, data, weights=checkpoint, output_dir=tmp_path)
    options = ["--data", str(data), "--weights", str(checkpoint), "-o", str(tmp_path)]
    assert main(["finetune", NAME, *options]) == 1
    assert (
        "newnet: error: COCO's average precision needs faster-coco-eval" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [{"frozen_stride": 8}, {"score_function": "softmax"}, {"cached_views": 2}, {"head_epochs": 1}],
)
def test_arguments_of_a_detector_are_refused_for_a_classifier(data, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` .* must be left out for a classifier"):
        newnet_tf.finetune("efficientnet_lite0", data, **arguments)
