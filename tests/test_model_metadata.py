"""What a model carries with it, and what is asked for where it carries nothing."""

import dataclasses
import json
import shutil
import warnings
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
        ({"format": 99}, "format 1. Received: 99"),
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


# --- what the outputs are


@keras.saving.register_keras_serializable("newnet_tests")
def own_softmax(x):
    return keras.ops.exp(x) / keras.ops.sum(keras.ops.exp(x), axis=-1, keepdims=True)


@keras.saving.register_keras_serializable("newnet_tests")
def halved_sigmoid(x):
    return keras.ops.sigmoid(x) * 0.5


def test_an_activation_of_ones_own_is_tried_out():
    loaded = newnet_tf.load_model(own_models.functional(own_softmax), preprocess_as="raw")
    assert (loaded.task, loaded.metadata.output_type) == ("classification", "probabilities")


def test_what_cannot_be_decided_is_asked():
    with pytest.raises(ValueError, match=r"what do the 3 output\(s\) .* mean\? Pass `outputs`"):
        newnet_tf.load_model(own_models.functional(halved_sigmoid), preprocess_as="raw")
    with pytest.raises(ValueError, match=r"one output that does not end in a sigmoid"):
        newnet_tf.load_model(own_models.functional(None, classes=1), preprocess_as="raw")
    told = newnet_tf.load_model(
        own_models.functional(None, classes=1), preprocess_as="raw", outputs="logits"
    )
    predictions = newnet_tf.load_predictor(told)(own_models.image(2))
    assert [p.class_index for p in predictions] == [1, 0]
    assert sum(p.score for p in predictions) == pytest.approx(1)


def test_a_wrong_declaration_is_found(tmp_path):
    loaded = newnet_tf.load_model(
        own_models.functional(None), preprocess_as="raw", outputs="probabilities"
    )
    with pytest.raises(ValueError, match=r"must be probabilities, as its metadata say"):
        newnet_tf.export(loaded, tmp_path, validation_images=own_models.images(6))
    assert not list(tmp_path.iterdir())


def test_a_subclassed_model_is_one_layer():
    class Wrapper(keras.Model):
        def __init__(self, inner):
            super().__init__(name="wrapper")
            self.inner = inner

        def call(self, x):
            return self.inner(x)

    model = Wrapper(own_models.functional())
    model(np.zeros((1, 32, 32, 3), np.float32))
    predictor = newnet_tf.load_predictor(model, preprocess=PIXELS, class_names=own_models.COLORS)
    assert predictor(own_models.image(1))[0].label == "green"
    with pytest.raises(ValueError, match=r"the image size of 'wrapper' must be known"):
        newnet_tf.load_model(model, preprocess_as="raw")
    with pytest.raises(ValueError, match=r"must take images of shape \(224, 224, 3\)"):
        newnet_tf.load_model(model, preprocess=PreprocessConfig())


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        ("RandomFlip", {}),
        ("RandomRotation", {"factor": 0.1}),
        ("RandomZoom", {"height_factor": 0.2}),
        ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.2}),
        ("RandomContrast", {"factor": 0.3}),
        ("RandomBrightness", {"factor": 0.3}),
        ("GaussianNoise", {"stddev": 0.3}),
        ("SpatialDropout2D", {"rate": 0.3}),
    ],
)
def test_layers_that_are_left_out_do_nothing_in_inference(layer, options):
    from newnet_tf.models.flatten import flatten

    x = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    acting = getattr(keras.layers, layer)(**options)
    np.testing.assert_array_equal(np.asarray(acting(x, training=False)), x)
    model = keras.Sequential([keras.Input((8, 8, 3)), acting, keras.layers.Flatten()])
    assert not [left for left in flatten(model).layers if isinstance(left, type(acting))]


def test_a_model_that_cannot_be_exported_says_why(tmp_path):
    image, age = keras.Input((32, 32, 3)), keras.Input((4,), name="age")
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    joined = keras.layers.Concatenate()([pooled, age])
    two = keras.Model([image, age], keras.layers.Dense(3)(joined))
    with pytest.raises(ValueError, match="`model` must have one image input"):
        newnet_tf.export(two, tmp_path, preprocess_as="raw")
    two = keras.Model(image, [keras.layers.Dense(3)(pooled), keras.layers.Dense(2)(pooled)])
    with pytest.raises(ValueError, match="must have one output of shape"):
        newnet_tf.export(two, tmp_path, preprocess_as="raw")
    wide = keras.Input((48, 64, 3))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(wide))
    with pytest.raises(ValueError, match="`model` must take square images"):
        newnet_tf.export(keras.Model(wide, x), tmp_path, preprocess_as="raw")
    own_models.functional().export(tmp_path / "saved", verbose=False)
    with pytest.raises(ValueError, match=r"a SavedModel, which is a graph without layers: save"):
        newnet_tf.export(tmp_path / "saved", tmp_path, preprocess_as="raw")


@pytest.mark.parametrize("name", ["runs [1]", "back\\slash", "Grün 写真", "100%", "a*b"])
def test_any_folder_can_hold_the_files(name, tmp_path):
    loaded = newnet_tf.load_model(
        own_models.functional(), preprocess_as="raw", class_names=own_models.COLORS
    )
    folder = tmp_path / name
    files = newnet_tf.export(loaded, folder, validation_images=own_models.images(6))
    files += newnet_tf.export(loaded, folder, format="saved_model")
    for file in files:
        assert folder in (file.parent if hasattr(file, "parent") else file.file.parent,)
        assert newnet_tf.load_predictor(file)(own_models.image(2))[0].label == "blue"


# --- weights that are not trained, and checkpoints of other classes


def zoo(**options):
    return newnet_tf.create_model("mobilenet_v2_050", weights=None, **SMALL, **options)


def test_newly_initialized_weights_are_refused_until_they_are_trained(tmp_path):
    model = zoo(classes=3)
    for function in (newnet_tf.load_predictor, lambda m: newnet_tf.export(m, tmp_path)):
        with pytest.raises(ValueError, match=r"must be trained.*--allow-untrained"):
            function(model)
    classifier = model.get_layer("classifier")
    classifier.set_weights([w + 0.1 for w in classifier.get_weights()])  # as `fit` does
    assert newnet_tf.load_model(model).is_trained


def test_files_of_an_untrained_model_are_marked(tmp_path):
    [file] = newnet_tf.export(zoo(classes=3), tmp_path, allow_untrained=True)
    assert file.verification is None
    assert not file.config.metadata.trained
    with pytest.raises(
        ValueError, match=r"must hold trained weights. Received: a file that is marked"
    ):
        newnet_tf.load_predictor(file)
    assert len(newnet_tf.load_predictor(file, allow_untrained=True)(own_models.image(0))) == 3


def test_the_number_of_classes_is_the_checkpoints(tmp_path):
    file = tmp_path / "five.safetensors"
    newnet_tf.weights.save(zoo(classes=5), file)
    loaded = newnet_tf.load_model("mobilenet_v2_050", weights=file)
    assert (loaded.classes, loaded.class_names, loaded.is_trained) == (5, None, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that says so
        other = newnet_tf.load_model("mobilenet_v2_050", weights=file, classes=7)
    assert not other.is_trained


def test_a_converted_checkpoint_keeps_its_names(tmp_path):
    newnet_tf.weights.save(zoo(classes=3), tmp_path / "three.npz")
    for suffix in (".keras", ".safetensors"):
        file = tmp_path / f"colors{suffix}"
        result = newnet_tf.convert(
            "mobilenet_v2_050", tmp_path / "three.npz", file, class_names=own_models.COLORS
        )
        assert (result.metadata.class_names, result.metadata.trained) == (own_models.COLORS, True)
        loaded = (
            newnet_tf.load_model(file)
            if suffix == ".keras"
            else newnet_tf.load_model("mobilenet_v2_050", weights=file)
        )
        assert (loaded.class_names, loaded.weights) == (own_models.COLORS, loaded.weights)
        assert loaded.is_trained


def test_what_train_writes_can_be_used_alone(tmp_path):
    """Another image size than the zoo's, folders of another order: 100 % both times."""
    for number in range(24):
        color = number % 3
        folder = tmp_path / "data" / own_models.COLORS[color]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(own_models.image(color, number)).save(folder / f"{number}.png")
    run = newnet_tf.train(
        own_models.functional(None),
        tmp_path / "data",
        output_dir=tmp_path / "run",
        epochs=1,
        overrides={"lr": 1e-6},
        preprocess=PIXELS,
    )
    assert read_metadata(run.files["best"]).class_names == ("blue", "green", "red")
    for name, color in (("0_sea", "blue"), ("1_leaf", "green"), ("2_apple", "red")):
        (tmp_path / "data" / color).rename(tmp_path / "data" / name)
    with pytest.raises(ValueError, match="the data's classes must be the model's"):
        newnet_tf.evaluate(tmp_path / "run", tmp_path / "data", split="all")


def test_a_model_that_resizes_is_exported_as_in_inference(tmp_path):
    """Keras' Resizing says `training=True` by itself, and batch normalization after it would follow."""
    inner = own_models.functional()
    image = keras.Input((None, None, 3))
    model = keras.Model(image, inner(keras.layers.Resizing(32, 32)(image)), name="any_size")
    preprocess = dataclasses.replace(PIXELS, image_size=48)
    [file] = newnet_tf.export(
        model,
        tmp_path,
        preprocess=preprocess,
        class_names=own_models.COLORS,
        validation_images=own_models.images(6),
    )
    assert file.verification.max_normalized_error < 1e-4
    assert file.delegation.fully_delegated
    assert newnet_tf.load_predictor(file)(own_models.image(1))[0].label == "green"


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


def test_the_image_size_of_a_model_that_takes_any_is_asked():
    image = keras.Input((None, None, 3))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, x, name="any_size")
    with pytest.raises(
        ValueError, match=r"the image size of 'any_size' must be known.*`image_size`"
    ):
        newnet_tf.load_model(model, preprocess_as="raw")
    assert newnet_tf.load_model(model, preprocess=PIXELS).preprocess.image_size == own_models.SIZE


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


def test_percent_and_contradictions_are_not_taken_for_logits():
    model = own_models.functional()
    percent = keras.Model(model.input, keras.layers.Rescaling(100.0, name="percent")(model.output))
    with pytest.raises(ValueError, match=r"what do the 3 output\(s\) .* add up to 100 to 100"):
        newnet_tf.load_model(percent, preprocess_as="raw")
    with pytest.raises(ValueError, match=r"must not be 'logits': its graph ends in a softmax"):
        newnet_tf.load_model(own_models.functional(), preprocess_as="raw", outputs="logits")
    wrong = newnet_tf.load_predictor(
        own_models.functional(None), preprocess_as="raw", outputs="probabilities"
    )
    with pytest.raises(ValueError, match="must be probabilities if its metadata say so"):
        wrong(own_models.image(0))


def test_a_model_may_have_any_name(tmp_path):
    model = own_models.functional()
    model.name = "mein Modell äö 1"
    loaded = newnet_tf.load_model(model, preprocess_as="raw", class_names=own_models.COLORS)
    [file] = newnet_tf.export(loaded, tmp_path, validation_images=own_models.images(6))
    assert file.file.name == "mein Modell äö 1.fp32.tflite"
    assert newnet_tf.load_predictor(file)(own_models.image(1))[0].label == "green"
