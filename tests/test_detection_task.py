"""Detection as a task: predictions, checks, fidelity, evaluation, comparison of two detectors."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tiny_detector
from PIL import Image

import newnet_tf
from newnet_tf import results
from newnet_tf.cli import main
from newnet_tf.data.host_loader import Sample
from newnet_tf.detection.box_coder import encode
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.evaluation.evaluator import DetectionEvaluator, match_box_classes
from newnet_tf.detection.evaluation.fidelity import fidelity
from newnet_tf.detection.evaluation.result import DetectionResult
from newnet_tf.detection.task import TASK, Detection
from newnet_tf.detection.training.matching import match
from newnet_tf.evaluation import compare_detectors, save_result
from newnet_tf.models.model_file import write_model
from newnet_tf.task import Task, get_task

CONFIG = tiny_detector.config()
NAMES = tiny_detector.CLASS_NAMES
HEIGHT, WIDTH = 60, 90
BOX, CLASS, ANCHOR = (20, 15, 60, 40), 1, 50


def certain_outputs(box=BOX, label=CLASS, logit=4.0):
    """Outputs for an image of 60 x 90 in which one box is certain."""
    boxes = np.zeros((CONFIG.anchor_count, 4), np.float32)
    fraction = np.array(box, np.float32) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    boxes[ANCHOR] = encode(fraction, CONFIG.anchors[ANCHOR], CONFIG.style)
    scores = np.full((CONFIG.anchor_count, CONFIG.columns), -12, np.float32)
    scores[ANCHOR, 1 + label] = logit
    return {"boxes": boxes, "scores": scores}


def label(boxes=(BOX,), classes=(CLASS,), difficult=None):
    n = len(boxes)
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "classes": np.array(classes, np.int32),
        "difficult": np.array([False] * n if difficult is None else difficult, bool),
        "crowd": np.zeros(n, bool),
    }


@pytest.fixture(scope="module")
def task():
    return get_task("detection", CONFIG.to_dict())


def test_the_task_comes_by_name_with_its_config(task):
    assert isinstance(task, Detection)
    assert Task in Detection.__mro__
    assert task.config == CONFIG
    assert (task.name, task.metric, task.mode) == ("detection", "mAP", "max")
    assert TASK.configured(None) is TASK


def test_a_task_without_config_says_what_it_needs():
    for call in (TASK.metrics, lambda: TASK.decode({}, (1, 1)), lambda: TASK.loss({}, {})):
        with pytest.raises(ValueError, match=r"must know the detector's config"):
            call()


def test_outputs_are_decoded_to_named_boxes_in_pixels(task):
    (found,) = task.decode(certain_outputs(), (HEIGHT, WIDTH), NAMES)
    assert (found.label, found.class_index) == (NAMES[CLASS], CLASS)
    assert found.score == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-6)
    assert found.box == pytest.approx(BOX, abs=1e-3)
    assert str(found) == "dog 98.2 % at (20, 15, 60, 40)"


def test_the_number_of_predictions_can_be_limited(task):
    outputs = tiny_detector.outputs()
    everything = task.decode(outputs, (HEIGHT, WIDTH))
    assert task.decode(outputs, (HEIGHT, WIDTH), None, 2) == everything[:2]
    assert len(everything) > 2
    assert everything[0].label is None


def test_a_wrong_number_of_names_is_an_error(task):
    with pytest.raises(ValueError, match=r"must name 3 classes. Received: 2 names"):
        task.decode(certain_outputs(), (HEIGHT, WIDTH), NAMES[:2])


@dataclasses.dataclass
class Data:
    classes: int


def test_model_data_and_config_must_fit(task):
    model = tiny_detector.model()
    task.check(model, Data(3))
    with pytest.raises(ValueError, match=r"detector's 3 classes. Received: 4 classes"):
        task.check(model, Data(4))
    other = Detection(DetectionConfig(classes=3, image_size=32, feature_sizes=(5, 2)))
    with pytest.raises(ValueError, match=r"Received: output_shape=\{"):
        other.check(model, Data(3))
    image = keras.Input((8, 8, 3))
    flat = keras.Model(image, keras.layers.Flatten()(image))
    with pytest.raises(
        ValueError, match=r"must have the outputs .* Received: output_shape=\(None, 192"
    ):
        task.check(flat, Data(3))


def test_preparing_an_image_moves_its_boxes_to_the_pixels_of_the_input(task):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[15:40, 20:60] = 255
    pixels, own = task.preprocess(image, label(), tiny_detector.PREPROCESS)
    assert pixels.shape == (32, 32, 3)
    np.testing.assert_allclose(own["boxes"], [(20 * 32 / 90, 8, 60 * 32 / 90, 40 * 32 / 60)], 1e-6)
    x1, y1, x2, y2 = own["boxes"][0].round().astype(int)
    assert pixels[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].min() == pytest.approx(1)
    assert pixels[y2 + 1 :].max() == pytest.approx(-1)


def test_the_loss_of_right_outputs_is_lower(task):
    target = match(label()["boxes"] / [90, 60, 90, 60], [CLASS], [False], CONFIG)
    target = {name: values[None] for name, values in target.items()}
    scores = 16.0 * np.eye(CONFIG.columns, dtype=np.float32)[target["classes"]] - 8
    right = task.loss(target, {"boxes": target["boxes"], "scores": scores})
    wrong = task.loss(target, {"boxes": target["boxes"] + 1, "scores": -scores})
    assert set(right) == {"localization", "classification"}
    assert float(right["localization"]) == 0
    assert float(right["classification"]) < 0.01
    assert float(wrong["localization"]) == pytest.approx(2.0)
    assert float(wrong["classification"]) > 10


def batch(images=2, seed=0):
    parts = [tiny_detector.outputs(seed=seed + i) for i in range(images)]
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def test_equal_outputs_have_perfect_fidelity(task):
    outputs = batch()
    figures = task.fidelity(outputs, outputs)
    assert figures["images"] == 2
    assert figures["detections"] > 10
    assert figures["cosine"] == pytest.approx(1)
    assert figures["max_normalized_error"] == 0
    assert figures["box_agreement"] == figures["loose_box_agreement"] == 1


def test_fidelity_counts_boxes_that_moved_changed_class_or_score():
    def agreement(**change):
        reference = certain_outputs(logit=1.0)
        outputs = certain_outputs(**{"logit": 1.0, **change})
        figures = fidelity(
            *({n: np.stack([v, 0 * v]) for n, v in o.items()} for o in (reference, outputs)), CONFIG
        )
        found = figures["detections"]
        return [round(found * (1 - figures[n])) for n in ("box_agreement", "loose_box_agreement")]

    assert agreement() == [0, 0]
    assert agreement(box=(20, 15, 61, 40)) == [0, 0]
    assert agreement(box=(20, 15, 68, 40)) == [1, 0]  # IoU 40 / 48
    assert agreement(box=(30, 25, 80, 50)) == [1, 1]
    assert agreement(logit=1.5) == [1, 0]  # 0.73 to 0.82
    assert agreement(logit=3.0) == [1, 1]
    assert agreement(label=0) == [1, 1]


def test_fidelity_of_other_shapes_or_names_is_an_error():
    outputs = batch()
    with pytest.raises(ValueError, match=r"the same shapes. Received"):
        fidelity(outputs, {**outputs, "boxes": outputs["boxes"][:, 1:]}, CONFIG)
    message = r"`outputs` must be a mapping with 'boxes' and 'scores'\. Received: \['boxes'\]"
    with pytest.raises(ValueError, match=message):
        fidelity(outputs, {"boxes": outputs["boxes"]}, CONFIG)


def test_tolerances_name_figures_of_fidelity(task):
    outputs = batch()
    for precision in ("fp32", "fp16", "int8-full", "int8-dynamic"):
        bounds = task.tolerance(precision)
        assert set(bounds) <= set(task.fidelity(outputs, outputs))
    assert task.tolerance("fp32")["cosine"][0] > task.tolerance("int8-full")["cosine"][0]


def test_classes_are_matched_by_name_and_unknown_ones_left_out(capsys):
    voc = ("tvmonitor", "person", "diningtable", "horse")
    coco = ("person", "tv", "dining table")
    assert match_box_classes(voc, coco, 3) == [1, 0, 2, -1]
    evaluator = DetectionEvaluator(CONFIG, coco, voc)
    assert "1 of the data's 4 classes are none of the model's" in capsys.readouterr().err
    samples = [Sample("a", label([BOX, BOX], [3, 1]), None)]
    outputs = {name: values[None] for name, values in certain_outputs(label=0).items()}
    evaluator.update(samples, {**outputs, "image_sizes": np.array([[HEIGHT, WIDTH]])})
    result = evaluator.result()
    assert result.left_out == ("horse",)
    assert result.truths[0]["classes"].tolist() == [0]
    assert result.metrics["mAP"] == pytest.approx(100)
    assert "1 classes left out" in str(result)


def test_classes_without_a_match_are_an_error(capsys):
    with pytest.raises(ValueError, match=r"a class of the model's, which are cat, dog, cup. Rec"):
        match_box_classes(("horse",), NAMES, 3)
    with pytest.raises(ValueError, match=r"names are unknown.* Received: 1 classes of data, 3 of"):
        match_box_classes(("horse",), None, 3)
    assert match_box_classes(("a", "b", "c"), None, 3) is None
    assert "a, b, c in this order" in capsys.readouterr().err


def test_an_evaluator_refuses_labels_that_are_no_boxes():
    evaluator = DetectionEvaluator(CONFIG)
    outputs = {name: values[None] for name, values in certain_outputs().items()}
    with pytest.raises(ValueError, match=r"must hold 'image_sizes'"):
        evaluator.update([Sample("a", label(), None)], outputs)
    outputs["image_sizes"] = np.array([[HEIGHT, WIDTH]])
    with pytest.raises(ValueError, match=r"labels must be boxes.* Received: 3 of a"):
        evaluator.update([Sample("a", 3, None)], outputs)
    with pytest.raises(ValueError, match=r"classes must lie in 0 to 2.* Received: 7 of a"):
        evaluator.update([Sample("a", label(classes=(7,)), None)], outputs)


def result_of(logits, images=40):
    """A result: the box of image i is found with a logit, or (None) elsewhere, with a lower one."""
    evaluator = DetectionEvaluator(CONFIG, NAMES)
    for i in range(images):
        logit = logits[i % len(logits)]
        far = (0, 0, 10, 10)
        own = certain_outputs(
            BOX if logit is not None else far, logit=0.0 if logit is None else logit
        )
        outputs = {name: values[None] for name, values in own.items()}
        evaluator.update(
            [Sample(f"{i}.jpg", label(difficult=[i == 0]), None)],
            {**outputs, "image_sizes": np.array([[HEIGHT, WIDTH]])},
        )
    return dataclasses.replace(
        evaluator.result(), model="tiny", dataset="toys", split="validation", class_names=NAMES
    )


def test_a_result_reads_well():
    result = result_of([3.0, 4.0])
    assert (result.n, result.boxes, result.difficult) == (40, 39, 1)
    text = str(result)
    assert text.startswith("tiny on toys, validation: mAP 100.0 %, mAP50 100.0 %, mAP75 100.0 %")
    assert "39 boxes, 1 difficult ignored" in text
    assert "difficult boxes counted: mAP 100.0 %" in text
    assert result.class_table() == [
        {"class": "dog", "n": 39, "AP": "100.0", "AP50": "100.0", "AP75": "100.0", "AR100": "100.0"}
    ]


def test_a_comparison_of_a_detector_with_itself_is_zero():
    result = result_of([3.0, None])
    comparison = compare_detectors(result, result, samples=50)
    assert comparison.difference == 0
    assert comparison.interval == (0, 0)
    assert comparison.first == pytest.approx(result.metrics["mAP50"])
    assert comparison.first_std > 1


def test_a_better_detector_is_better_in_every_sample():
    comparison = compare_detectors(result_of([3.0, None]), result_of([3.0]), samples=200)
    assert comparison.second == pytest.approx(100)
    assert comparison.difference > 40
    assert 20 < comparison.interval[0] < comparison.difference < comparison.interval[1]
    assert "proves nothing" not in str(comparison)


def test_a_small_difference_is_said_to_prove_nothing():
    first, second = result_of([3.0], 80), result_of([3.0] * 39 + [None], 80)
    comparison = compare_detectors(first, second, samples=100)
    assert -5 < comparison.difference < 0
    assert "less than 5 points between one training run each prove nothing" in str(comparison)


def test_results_of_other_images_cannot_be_compared():
    with pytest.raises(ValueError, match=r"same images and boxes. Received: 40 and 39 images"):
        compare_detectors(result_of([3.0]), result_of([3.0], 39))


def test_a_result_is_saved_as_a_row(tmp_path):
    path = save_result(result_of([3.0]), "tiny", "toys", weights="w", folder=tmp_path)
    assert path.name == "detection.csv"
    (row,) = results.read("detection", tmp_path)
    assert (row["model"], row["n"], row["boxes"], row["difficult"]) == ("tiny", "40", "39", "1")
    assert row["mAP50"] == row["mAP50_with_difficult"] == "100.00"
    assert row["precision"] == "fp32"


XML = """<annotation><filename>{i}.jpg</filename>
<size><width>90</width><height>60</height><depth>3</depth></size>
<object><name>dog</name><difficult>{difficult}</difficult>
<bndbox><xmin>21</xmin><ymin>16</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object>
</annotation>"""


@pytest.fixture(scope="module")
def voc_folder(tmp_path_factory):
    """Four images, each with the same dog, the last of them difficult."""
    root = tmp_path_factory.mktemp("voc")
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (WIDTH, HEIGHT), (40 * i, 90, 60)).save(root / f"JPEGImages/{i}.jpg")
        text = XML.format(i=i, difficult=int(i == 3))
        (root / f"Annotations/{i}.xml").write_text(text, encoding="utf-8")
    (root / "ImageSets/Main/val.txt").write_text("0\n1\n2\n3\n", encoding="utf-8")
    (root / "ImageSets/Main/train.txt").write_text("0\n1\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory):
    """A detector that finds the dog of `voc_folder` in any image."""
    image = keras.Input((32, 32, 3), name="image")
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    outputs = {}
    for name, values in certain_outputs().items():
        dense = keras.layers.Dense(
            values.size,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(values.reshape(-1)),
        )
        outputs[name] = keras.layers.Reshape(values.shape, name=name)(dense(pooled))
    model = keras.Model(image, outputs, name="dog_finder")
    for layer in model.layers:
        if layer.weights:  # values instead of an initializer, which a file would have to hold
            layer.bias_initializer = keras.initializers.Zeros()
    path = tmp_path_factory.mktemp("model") / "dog_finder.keras"
    write_model(model, path, dataclasses.replace(tiny_detector.metadata(), name="dog_finder"))
    return path


def test_a_detector_is_evaluated_on_a_voc_folder(voc_folder, detector_file):
    result = newnet_tf.evaluate(detector_file, voc_folder)
    assert isinstance(result, DetectionResult)
    assert (result.n, result.boxes, result.difficult, result.split) == (4, 3, 1, "validation")
    assert result.metrics["mAP"] == pytest.approx(100)
    np.testing.assert_allclose(result.detections[0].boxes[0], BOX, atol=1e-3)
    assert result.model == "dog_finder"
    assert result.seconds > 0


def test_the_command_prints_average_precision(voc_folder, detector_file, capsys):
    main(["evaluate", str(detector_file), "--data", str(voc_folder), "--per-class"])
    text = capsys.readouterr().out
    assert "mAP 100.0 %, mAP50 100.0 %" in text
    assert "dog" in text.splitlines()[-1]
    main(["evaluate", str(detector_file), "--data", str(voc_folder), "--json"])
    values = json.loads(capsys.readouterr().out)
    assert values["mAP50"] == pytest.approx(100)
    assert values["classes"][0]["class"] == "dog"


def test_the_command_saves_results(voc_folder, detector_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "HERE", tmp_path)
    main(["evaluate", str(detector_file), "--data", str(voc_folder), "--save-results"])
    (row,) = results.read("detection", tmp_path)
    assert (row["model"], row["n"], row["mAP"]) == ("dog_finder", "4", "100.00")
