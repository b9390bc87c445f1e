"""What a model carries with it, and what is asked for where it carries nothing."""

import dataclasses
import json
import shutil
import zipfile

import keras
import numpy as np
import own_models
import pytest
from PIL import Image

import newnet_tf
from newnet_tf.data.preprocess import Transform, normalize, tf_preprocess
from newnet_tf.deploy import Runner, config_file
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.config.metadata import ModelMetadata
from newnet_tf.models.model_file import read_metadata, weights_digest

PIXELS = PreprocessConfig(
    image_size=own_models.SIZE, crop_pct=1.0, mean=(0.0,) * 3, std=(1 / 255,) * 3
)
SMALL = {"input_shape": (32, 32, 3)}


def metadata(name: str = "colors", **fields) -> ModelMetadata:
    known = {"class_names": own_models.COLORS, "output_type": "probabilities"} | fields
    return ModelMetadata(name=name, preprocess=PIXELS, **known)


@pytest.fixture(scope="module")
def model():
    return own_models.functional()


@pytest.fixture(scope="module")
def tflite(model, tmp_path_factory):
    """A TFLite file of the model, with all of its metadata."""
    known = metadata(license="MIT", author="someone", dataset="squares", weights="v1")
    [file] = newnet_tf.deploy.export_tflite(
        model, known, tmp_path_factory.mktemp("out"), validation_images=own_models.images(6)
    )
    return file.file


def test_a_record_comes_back_from_json():
    known = metadata(license="MIT")
    assert ModelMetadata.from_dict(json.loads(json.dumps(known.to_dict()))) == known


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 2. Received: 99"),
        ({"name": 3}, "must hold texts"),
        ({"class_names": "red"}, "must hold a list of class names or null"),
        ({"class_names": 1}, "must hold a list of class names or null"),
        ({"trained": "yes"}, "`trained` as a bool"),
        ({"preprocess": {"image_size": 1.5}}, "`image_size` must be an int"),
        ({"preprocess": {"mean": [0, None, 0]}}, "finite numbers"),
        ({"preprocess": {"std": [1, float("nan"), 1]}}, "finite numbers"),
        ({"extra": 1}, r"Received: not \['extra'\]"),
        ({"output_type": "softmax"}, "`output_type` of a model for 'classification' must be among"),
        (
            {"preprocess": {"image_size": 32, "colour": "RGB"}},
            "preprocessing must be a JSON object",
        ),
    ],
)
def test_a_damaged_record_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ModelMetadata.from_dict(metadata().to_dict() | change)


def test_a_keras_file_holds_its_record_and_keras_loads_it(model, tmp_path):
    file = tmp_path / "anything.at.all.keras"
    written = newnet_tf.save_model(model, file, metadata())
    assert written.sha256 == weights_digest(model)
    assert read_metadata(file) == written
    assert keras.models.load_model(file).count_params() == model.count_params()
    loaded = newnet_tf.load_model(file)
    assert (loaded.name, loaded.class_names) == ("colors", own_models.COLORS)
    model.save(tmp_path / "plain.keras")
    assert read_metadata(tmp_path / "plain.keras") is None


def test_a_tflite_file_holds_its_record_wherever_it_goes(tflite, tmp_path):
    moved = shutil.copy(tflite, tmp_path / "renamed.v2.tflite")
    config = config_file.read_config(moved)
    assert (config.metadata.license, config.metadata.dataset) == ("MIT", "squares")
    predictor = newnet_tf.load_predictor(moved)
    assert [predictor(own_models.image(n))[0].label for n in range(3)] == list(own_models.COLORS)
    with zipfile.ZipFile(moved) as archive:  # for other tools, as TFLite metadata say
        assert archive.read("labels.txt").decode().split() == list(own_models.COLORS)


def test_what_lies_next_to_a_file_is_not_read(tflite, tmp_path):
    moved = tmp_path / tflite.name
    shutil.copy(tflite, moved)
    (tmp_path / "colors.labels.txt").write_text("a\nb\nc\n")
    config_file.description_path(moved).write_text("{}")
    assert newnet_tf.load_predictor(moved)(own_models.image(0))[0].label == "red"


def test_a_changed_tflite_file_is_not_the_one_that_its_record_describes(tflite, tmp_path):
    data = bytearray(tflite.read_bytes())
    weights = data.find(np.float32(5.0).tobytes())  # of the head
    assert weights > 0
    data[weights : weights + 4] = np.float32(4.0).tobytes()
    changed = tmp_path / tflite.name
    changed.write_bytes(data)
    with pytest.raises(ValueError, match=r"must be the model that the record inside it describes"):
        Runner(changed)


def test_metadata_change_no_output_and_no_delegation(tflite, tmp_path):
    bare = tmp_path / "bare.tflite"
    with zipfile.ZipFile(tflite) as archive:
        end = min(entry.header_offset for entry in archive.infolist())
    bare.write_bytes(tflite.read_bytes()[:end])
    inputs = normalize(np.stack([own_models.image(n, size=(32, 32)) for n in range(3)]), PIXELS)
    with_record, without = Runner(tflite), Runner(bare)
    assert np.array_equal(with_record(inputs), without(inputs))
    assert with_record.delegation() == without.delegation()
    assert without.config is None
    assert without.output_type == "probabilities"  # its last operator says so


def test_models_whose_names_contain_dots_have_their_own_labels(model, tmp_path):
    orders = {"pets.v1": [0, 1, 2], "pets.v2": [2, 0, 1]}
    for name, order in orders.items():
        turned = keras.models.clone_model(model)
        kernel, bias = model.get_layer("head").get_weights()
        turned.set_weights(model.get_weights())
        turned.get_layer("head").set_weights([kernel[:, order], bias[order]])
        names = tuple(own_models.COLORS[number] for number in order)
        newnet_tf.save_model(turned, tmp_path / f"{name}.keras", metadata(name, class_names=names))
        newnet_tf.export(
            tmp_path / f"{name}.keras", tmp_path, validation_images=own_models.images(6)
        )
    for file in (*tmp_path.glob("*.keras"), *tmp_path.glob("*.tflite")):
        predictor = newnet_tf.load_predictor(file)
        assert [predictor(own_models.image(n))[0].label for n in range(3)] == list(
            own_models.COLORS
        )
    assert (tmp_path / "pets.v2.labels.txt").read_text().split() == ["blue", "red", "green"]


def test_a_file_with_the_name_of_a_zoo_model_is_not_taken_for_it(tmp_path):
    """Caffe's preprocessing, as keras.applications' ResNet50 has it: BGR, a mean subtracted."""
    inner = own_models.functional()
    image = keras.Input((own_models.SIZE, own_models.SIZE, 3))
    rgb = keras.ops.flip(image, axis=-1) + np.float32([123.68, 116.779, 103.939])
    named = keras.Model(image, inner(rgb), name="resnet50")
    named.save(tmp_path / "resnet50.keras")
    with pytest.raises(ValueError, match=r"preprocessing of resnet50 must be known.*'caffe'"):
        newnet_tf.load_predictor(tmp_path / "resnet50.keras")
    caffe = newnet_tf.load_predictor(
        tmp_path / "resnet50.keras", preprocess_as="caffe", class_names=own_models.COLORS
    )
    torch = newnet_tf.load_predictor(
        tmp_path / "resnet50.keras", preprocess_as="torch", class_names=own_models.COLORS
    )
    blue = own_models.image(2)
    assert (caffe(blue)[0].label, caffe.preprocess.channel_order) == ("blue", "BGR")
    right = newnet_tf.load_predictor(inner, preprocess_as="raw", class_names=own_models.COLORS)
    assert caffe(blue)[0].score == pytest.approx(right(blue)[0].score, abs=1e-5)
    assert torch(blue)[0].score < 0.5  # what the name alone used to give


def test_bgr_is_the_same_on_the_host_in_tf_data_and_in_a_saved_model(tmp_path):
    bgr = dataclasses.replace(PIXELS, channel_order="BGR", mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2))
    pixels = own_models.image(0, size=(32, 32))
    expected = (pixels[..., ::-1] / 255 - np.array(bgr.mean)) / np.array(bgr.std)
    np.testing.assert_allclose(Transform(bgr)(pixels)[0], expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(tf_preprocess(bgr)(pixels)), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"`embed_normalization` must be False .* BGR"):
        newnet_tf.deploy.export_tflite(
            own_models.functional(), bgr, tmp_path, embed_normalization=True, verify=False
        )


def test_preprocessing_comes_from_a_json_file(model, tmp_path):
    own_models.functional().save(tmp_path / "own.keras")
    file = tmp_path / "preprocess.json"
    file.write_text(json.dumps({"image_size": 32, "mean": [0, 0, 0], "std": [1 / 255] * 3}))
    loaded = newnet_tf.load_model(tmp_path / "own.keras", preprocess=file)
    assert loaded.preprocess.std == (1 / 255,) * 3
    file.write_text('{"mean": [0, 0, 0], "scale": 1}')
    with pytest.raises(
        ValueError, match=r"preprocess\.json: preprocessing must be a JSON object of"
    ):
        newnet_tf.load_model(tmp_path / "own.keras", preprocess=file)


def test_names_come_from_a_text_file(model, tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text("\ufeffrouge\nvert\n\nbleu\n", encoding="utf-8")
    loaded = newnet_tf.load_model(own_models.functional(), preprocess_as="raw", class_names=file)
    assert loaded.class_names == ("rouge", "vert", "bleu")
    with pytest.raises(
        ValueError, match=r"must name 3 classes, as the model has scores\. Received: 2"
    ):
        newnet_tf.load_model(own_models.functional(), preprocess_as="raw", class_names=["a", "b"])
    one = newnet_tf.load_model(own_models.sigmoid(), preprocess_as="raw", class_names=["blue"])
    assert one.class_names == ("not blue", "blue")


def test_a_thousand_classes_are_numbers_until_they_are_named():
    image = keras.Input((32, 32, 3))
    x = keras.layers.Dense(1000)(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, x, name="mobilenet")
    assert newnet_tf.load_model(model, preprocess_as="tf").class_names is None
    named = newnet_tf.load_model(model, preprocess_as="tf", class_names="imagenet")
    assert named.class_names[281] == "tabby"


def test_imagenets_names_fit_tensorflows_1001_classes():
    from newnet_tf.classification.class_matching import check_class_names, match_classes
    from newnet_tf.data.labels import imagenet_names

    names = check_class_names(imagenet_names(), 1001)
    assert (names[0], names[282]) == ("background", "tabby")
    assert match_classes(["n01440764", "n02123045"], names, 1001) == [1, 282]


def test_what_the_user_says_of_a_model_belongs_to_the_result_alone():
    model = own_models.functional()
    first = newnet_tf.load_model(model, preprocess_as="unit", class_names=["x", "y", "z"])
    assert newnet_tf.get_metadata(model) is None
    with pytest.raises(ValueError, match=r"preprocessing of .* must be known"):
        newnet_tf.load_model(model)
    second = newnet_tf.load_model(model, preprocess_as="raw")
    assert (first.class_names, second.class_names) == (("x", "y", "z"), None)


def test_stretched_images_are_the_same_on_the_host_and_in_tf_data():
    stretch = dataclasses.replace(
        PIXELS, resize_mode="stretch", interpolation="bilinear", crop_pct=0.5
    )
    pixels = own_models.image(0, size=(40, 96))
    expected = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(Transform(stretch)(pixels)[0], expected)
    assert np.abs(np.asarray(tf_preprocess(stretch)(pixels)) - expected).max() <= 1
    with pytest.raises(ValueError, match="`resize_mode` must be among"):
        dataclasses.replace(PIXELS, resize_mode="squash")
