"""Words found from Python and on the command line, with a detector that looks for bright places."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("cv2", reason="OpenCV is not installed")

import newnet_tf
from newnet_tf.cli import main
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata, set_metadata
from newnet_tf.text.config import TASK, TextConfig

SHAPE = (80, 120)  # of the images, which "fit" enlarges to 128 x 192
WORDS = ((10, 12, 50, 26), (70, 50, 110, 64))  # x1, y1, x2, y2


def bright_places(size=None, resize_mode="fit"):
    """A text detector whose region score is the brightness; its affinity score too low to join."""
    import keras

    image = keras.Input((size, size, 3), name="image")
    gray = keras.ops.mean(keras.layers.AveragePooling2D(2)(image), axis=-1, keepdims=True)
    model = keras.Model(image, {"region": gray, "affinity": gray * 0.2}, name="bright_places")
    magnification = {"magnification": 1.5} if resize_mode == "fit" else {}
    preprocess = PreprocessConfig(
        image_size=size or 256,
        resize_mode=resize_mode,
        interpolation="bilinear",
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        **magnification,
    )
    metadata = ModelMetadata(
        name="bright_places",
        preprocess=preprocess,
        task=TASK,
        trained=True,
        class_names=("text",),
        task_config=TextConfig(image_size=size).to_dict(),
    )
    return set_metadata(model, metadata) or model


@pytest.fixture(scope="module")
def sign(tmp_path_factory):
    """An image of two bright rectangles on black."""
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    for x1, y1, x2, y2 in WORDS:
        pixels[y1:y2, x1:x2] = 255
    path = tmp_path_factory.mktemp("images") / "sign.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def model():
    return bright_places()


def check_words(predictions):
    """Each word is found once, around its rectangle (post-processing enlarges words)."""
    assert len(predictions) == len(WORDS)
    found = sorted(predictions, key=lambda word: word.box)
    for word, expected in zip(found, WORDS, strict=True):
        center = np.mean(word.polygon, axis=0)
        np.testing.assert_allclose(center, np.mean([expected[:2], expected[2:]], axis=0), atol=2)
        (x1, y1), (x2, y2) = np.min(word.polygon, axis=0), np.max(word.polygon, axis=0)
        assert x1 <= expected[0] + 2
        assert y1 <= expected[1] + 2
        assert x2 >= expected[2] - 2
        assert y2 >= expected[3] - 2
        np.testing.assert_allclose(word.box, (x1, y1, x2, y2), atol=1e-3)
        assert 0 <= x1 < x2 <= SHAPE[1]
        assert 0 <= y1 < y2 <= SHAPE[0]
        assert word.label == "text"
        assert 0.9 < word.score <= 1


def check_heat(path):
    """Red where words are in the region map at the left, blue elsewhere and at the right."""
    with Image.open(path) as image:
        pixels = np.asarray(image).astype(int)
    height, width = SHAPE
    assert pixels.shape == (height, 2 * width, 3)
    for x1, y1, x2, y2 in WORDS:
        red, _, blue = pixels[(y1 + y2) // 2, (x1 + x2) // 2]
        assert red > blue + 50
    for row, column in ((70, 20), (70, 20 + width), (20, 100)):
        red, _, blue = pixels[row, column]
        assert blue > red + 20


def test_words_are_found_in_pixels_of_the_image(model, sign, tmp_path):
    result = newnet_tf.detect_text(sign, model, output=tmp_path / "out")
    check_words(result[0].predictions)
    (drawn,), (maps,) = result.files, result.score_maps
    assert (drawn.name, maps.name) == ("sign.jpg", "sign_maps.jpg")
    with Image.open(drawn) as image:
        assert image.size == SHAPE[::-1]
        assert np.asarray(image).std(axis=2).max() > 20  # colored lines on gray
    check_heat(maps)


@pytest.mark.parametrize("shape", [(80, 120), (120, 80), (300, 60), (60, 300)])
def test_a_model_of_one_input_size_takes_images_of_any_shape(shape):
    """Letterboxed; a word keeps its place."""
    pixels = np.zeros((*shape, 3), np.uint8)
    height, width = shape
    x1, y1, x2, y2 = width // 4, height // 4, width // 2, height // 2
    pixels[y1:y2, x1:x2] = 255
    model = bright_places(128, "letterbox")
    (word,) = newnet_tf.detect_text(pixels, model)[0].predictions
    pixel = max(1.0, max(shape) / 128)
    center = np.mean(word.polygon, axis=0)
    np.testing.assert_allclose(center, [(x1 + x2) / 2, (y1 + y2) / 2], atol=2 * pixel)


def test_score_maps_of_a_letterboxed_image_leave_the_padding_out(sign, tmp_path):
    result = newnet_tf.detect_text(sign, bright_places(128, "letterbox"), output=tmp_path)
    check_heat(result.score_maps[0])


def test_an_exported_file_finds_the_words_of_its_model(sign, tmp_path):
    (exported,) = newnet_tf.export(bright_places(128, "letterbox"), tmp_path, precisions=["fp32"])
    figures = exported.verification.figures
    assert figures["words"] > 0
    assert figures["word_agreement"] == 1
    check_words(newnet_tf.detect_text(sign, exported.file)[0].predictions)
    with pytest.raises(ValueError, match="images must be resized in one of the modes"):
        newnet_tf.bundle(bright_places(128, "letterbox"), tmp_path / "app.zip", precisions=["fp32"])


def test_thresholds_decide_what_a_word_is(model, sign):
    pixels = np.asarray(Image.open(sign)) // 2  # scores of 0.5
    assert not newnet_tf.detect_text(pixels, model)[0].predictions
    found = newnet_tf.detect_text(pixels, model, text_threshold=0.4, low_text=0.3)
    assert len(found[0].predictions) == len(WORDS)


def test_canvas_and_magnification_are_of_models_of_any_size(model, sign):
    small = newnet_tf.detect_text(sign, model, canvas_size=64, magnification=4.0)
    check_words(small[0].predictions)
    with pytest.raises(ValueError, match=r"must be left out for a model of one input size.*128"):
        newnet_tf.detect_text(sign, bright_places(128, "letterbox"), canvas_size=64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text_threshold": 2.0}, "--text-threshold. must be a number in 0 to 1. Received: 2.0"),
        ({"low_text": float("nan")}, "--low-text. must be a number in 0 to 1. Received: nan"),
        ({"magnification": 0.0}, "--magnification. must be a number in 0.1 to 10"),
        ({"canvas_size": 8}, "--canvas-size. must be an int in 32 to 4096. Received: 8"),
        ({"canvas_size": 10**8}, "--canvas-size. must be an int in 32 to 4096"),
    ],
)
def test_arguments_are_checked_first(options, message):
    with pytest.raises(ValueError, match=message):
        newnet_tf.detect_text("no_such.jpg", "craft", **options)


def test_another_tasks_model_is_refused(sign):
    with pytest.raises(ValueError, match=r"must be a text detector.*'classification'"):
        newnet_tf.detect_text(sign, "lenet5", allow_untrained=True)


def test_the_command_prints_and_draws(model, sign, tmp_path, capsys):
    file, broken = tmp_path / "bright.keras", tmp_path / "broken.jpg"
    newnet_tf.save_model(model, file, newnet_tf.get_metadata(model))
    broken.write_bytes(b"no image")
    common = ["detect-text", str(sign), "--model", str(file), "-o", str(tmp_path / "out")]
    assert main([*common, "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert len(image["words"]) == len(WORDS)
    assert len(image["words"][0]["polygon"]) == 4
    assert main([*common, "--csv"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "image,score,polygon"
    assert len(rows) == len(WORDS)
    assert main([*common, "--json", "--csv"]) == 1
    assert "--json and --csv must not be given together" in capsys.readouterr().err
    assert main(["detect-text", str(sign), str(broken), *common[2:]]) == 1
    printed = capsys.readouterr()
    assert "sign.png: 2 words" in printed.out
    assert "broken.jpg" in printed.err
