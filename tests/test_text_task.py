"""Text detection as a task: models checked, images prepared, words decoded, drawn and evaluated."""

import csv
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tiny_text_detector as tiny
from PIL import Image
from text_maps import CONFIG, draw_word, empty_maps

import newnet_tf
from newnet_tf import results
from newnet_tf.cli import main
from newnet_tf.data.words import make_words
from newnet_tf.inference.loaded import LoadedModel
from newnet_tf.inference.loading import keras_predictor
from newnet_tf.models.model_file import save_model
from newnet_tf.task import get_task, task_of
from newnet_tf.text.config import TextConfig
from newnet_tf.text.drawing import draw_label, draw_maps, heat
from newnet_tf.text.evaluation.result import TextResult

cv2 = pytest.importorskip("cv2", reason="needs pip install 'newnet_tf[text]'")
WORDS = [(20, 20, 80, 40), (120, 60, 180, 80)]  # pixels of images of 200 x 100
IMAGE_SIZE = (100, 200)


def corners(x1, y1, x2, y2):
    return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


@pytest.fixture(scope="module")
def signs(tmp_path_factory):
    """An ICDAR folder of two images: both words, and one word with one that does not count."""
    root = tmp_path_factory.mktemp("data") / "signs"
    for number, found in ((1, WORDS), (2, WORDS[:1])):
        for folder in ("images", "gt"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        pixels = tiny.photo(IMAGE_SIZE, found)
        Image.fromarray(pixels).save(root / "images" / f"img_{number}.png")
        texts = ("EXIT", "###" if number == 2 else "WAY")
        lines = [
            ",".join(f"{x},{y}" for x, y in corners(*word)) + f",{text}"
            for word, text in zip(WORDS, texts, strict=True)
        ]
        (root / "gt" / f"gt_img_{number}.txt").write_text("\n".join(lines), "utf-8-sig")
    return root


def predictor(image_size):
    return keras_predictor(LoadedModel(tiny.model(image_size), tiny.metadata(image_size)))


def test_importing_the_task_imports_neither_keras_nor_opencv():
    code = (
        "import sys, newnet_tf.text.task, newnet_tf.text.postprocess, newnet_tf.text.config; "
        "print([m for m in ('tensorflow', 'keras', 'cv2') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("image_size", [128, None])
def test_a_predictor_finds_words_in_pixels_of_the_photo(image_size):
    found = predictor(image_size)(tiny.photo(IMAGE_SIZE, WORDS))
    assert len(found) == 2
    for prediction, word in zip(sorted(found, key=lambda p: p.box), WORDS, strict=True):
        assert prediction.label == "text"
        assert prediction.score == pytest.approx(1, abs=0.01)
        np.testing.assert_allclose(prediction.polygon, corners(*word), atol=9)  # widened words
    (best,) = predictor(image_size)(tiny.photo(IMAGE_SIZE, WORDS), top=1)
    assert best in found


def test_check_refuses_other_outputs_sizes_and_data():
    task = task_of(tiny.metadata())
    text, objects = (types.SimpleNamespace(classes=n) for n in (1, 3))
    task.check(tiny.model(), text)
    task_of(tiny.metadata(None)).check(tiny.model(None), text)
    with pytest.raises(ValueError, match="with one class"):
        task.check(tiny.model(), objects)
    with pytest.raises(ValueError, match=r"\(32, 32, 1\).*Received: output_shape=.*48"):
        task.check(tiny.model(96), text)
    image = keras.Input((64, 64, 3))
    unnamed = keras.Model(image, keras.layers.AveragePooling2D(2)(image))
    with pytest.raises(ValueError, match="must have the outputs"):
        task.check(unnamed, text)
    with pytest.raises(ValueError, match="must know the text detector's config"):
        get_task("text_detection").check(tiny.model(), text)


@pytest.mark.parametrize("image_size", [64, None])
def test_preprocess_moves_polygons_with_the_pixels(image_size):
    metadata = tiny.metadata(image_size)
    task, photo = task_of(metadata), tiny.photo(IMAGE_SIZE, WORDS[:1])
    label = make_words([corners(*WORDS[0])], [True], ["EXIT"])
    image, moved = task.preprocess(photo, label, metadata.preprocess)
    (left, top), (right, bottom) = moved["polygons"][0].min(0), moved["polygons"][0].max(0)
    rows, columns = (
        np.flatnonzero(image[..., 0].max(1) > 0.5),
        np.flatnonzero(image[..., 0].max(0) > 0.5),
    )
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    np.testing.assert_allclose((left, top, right, bottom), found, atol=0.75)
    assert moved["text"] == ("EXIT",)
    assert moved["ignore"].tolist() == [True]
    other = tiny.metadata(None if image_size else 64).preprocess
    with pytest.raises(ValueError, match="must have resize_mode="):
        task.preprocess(photo, label, other)
    with pytest.raises(ValueError, match="`augmentation` of text must be None"):
        task.preprocess(photo, label, metadata.preprocess, augmentation=object())


def test_the_loss_has_a_part_for_each_map():
    task = get_task("text_detection", CONFIG.to_dict())
    maps = draw_word(empty_maps(32, 32), (8, 16), 2)[:, None, ..., None]
    target = {"region": maps[0], "affinity": maps[1], "weight": np.ones_like(maps[0])}
    same = task.loss(target, {"region": maps[0], "affinity": maps[1]})
    assert {name: float(value) for name, value in same.items()} == {"region": 0, "affinity": 0}
    other = task.loss(target, {"region": 1 - maps[0], "affinity": maps[1]})
    assert float(other["region"]) > 0.5
    assert float(other["affinity"]) == 0


@pytest.mark.parametrize("image_size", [256, None])
def test_evaluate_counts_words_of_an_icdar_folder(signs, image_size, monkeypatch, tmp_path):
    monkeypatch.setattr(results, "HERE", tmp_path)
    result = newnet_tf.evaluate(predictor(image_size), signs, split="all", save_results=True)
    assert isinstance(result, TextResult)
    assert result.counts == (3, 3, 3)
    assert result.ignored == 1
    assert result.metrics == {"hmean": 100, "precision": 100, "recall": 100}
    assert str(result).startswith("tiny_text on signs, all: H-mean 100.0 %")
    with (tmp_path / "text.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["model"], row["data"], row["hmean"]) == ("tiny_text", "signs", "100.00")


def test_the_command_evaluates_a_file(signs, tmp_path, capsys):
    path = tmp_path / "tiny.keras"
    save_model(tiny.model(256), path, tiny.metadata(256))
    main(["evaluate", str(path), "--data", str(signs), "--split", "all"])
    assert "H-mean 100.0 %, precision 100.0 %, recall 100.0 %, n = 2" in capsys.readouterr().out


def test_words_are_drawn_on_the_photo():
    photo = np.full((*IMAGE_SIZE, 3), 128, np.uint8)
    shown = tiny.photo(IMAGE_SIZE, WORDS)
    task = task_of(tiny.metadata(128))
    predictions = predictor(128)(shown)
    drawn = task.draw(photo, predictions)
    changed = (drawn != photo).any(axis=-1)
    outline = np.zeros(IMAGE_SIZE, np.uint8)
    for prediction in predictions:
        points = np.array(prediction.polygon).round().astype(np.int32)
        cv2.polylines(outline, [points], True, 1, thickness=5)
    assert changed.any()
    assert not (changed & (outline == 0)).any()
    label = make_words([corners(*word) for word in WORDS], [True, False])
    colors = {tuple(color) for color in draw_label(photo, label).reshape(-1, 3).tolist()}
    assert len(colors) == 3  # the photo, a word, an ignored word
    np.testing.assert_array_equal(task.draw(photo, []), photo)


def test_heat_maps_are_blue_to_red_over_the_photo():
    np.testing.assert_array_equal(
        heat(np.array([[-1.0, 0.0, 0.5, 1.0, 2.0]]))[0],
        [(0, 0, 128), (0, 0, 128), (60, 220, 90), (220, 0, 0), (220, 0, 0)],
    )
    region, affinity = np.zeros((2, 10, 20, 1), np.float32)
    region[:, :10] = 1
    page = draw_maps(np.full((40, 80, 3), 100, np.uint8), region, affinity)
    assert page.shape == (40, 160, 3)
    np.testing.assert_allclose(page[20, 5], 0.4 * 100 + 0.6 * np.array([220, 0, 0]), atol=1)
    np.testing.assert_allclose(page[20, 150], 0.4 * 100 + 0.6 * np.array([0, 0, 128]), atol=1)


def test_a_config_travels_in_the_metadata():
    assert task_of(tiny.metadata()).config == TextConfig(image_size=64)
