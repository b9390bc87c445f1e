"""What the outputs of a user's model are, how it is exported, and weights that are not trained."""

import dataclasses
import warnings

import keras
import numpy as np
import own_models
import pytest
import tiny_zoo
from PIL import Image

import newnet_tf
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.models.model_file import read_metadata

PIXELS = PreprocessConfig(
    image_size=own_models.SIZE, crop_pct=1.0, mean=(0.0,) * 3, std=(1 / 255,) * 3
)
SMALL = {"input_shape": (32, 32, 3)}


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


def test_any_folder_can_hold_the_files(tmp_path):
    loaded = newnet_tf.load_model(
        own_models.functional(), preprocess_as="raw", class_names=own_models.COLORS
    )
    folder = tmp_path / "Grün 写真 [1] 100% a*b back\\slash"
    files = newnet_tf.export(loaded, folder, validation_images=own_models.images(6))
    files += newnet_tf.export(loaded, folder, format="saved_model")
    for file in files:
        assert folder in (file.parent if hasattr(file, "parent") else file.file.parent,)
        assert newnet_tf.load_predictor(file)(own_models.image(2))[0].label == "blue"


# --- weights that are not trained, and checkpoints of other classes


@pytest.fixture(autouse=True)
def registered():
    """A network of a few layers is a model of the zoo."""
    with tiny_zoo.registered():
        yield


def zoo(**options):
    return newnet_tf.create_model(tiny_zoo.NAME, weights=None, **SMALL, **options)


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
    loaded = newnet_tf.load_model(tiny_zoo.NAME, weights=file)
    assert (loaded.classes, loaded.class_names, loaded.is_trained) == (5, None, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that says so
        other = newnet_tf.load_model(tiny_zoo.NAME, weights=file, classes=7)
    assert not other.is_trained


def test_a_converted_checkpoint_keeps_its_names(tmp_path):
    newnet_tf.weights.save(zoo(classes=3), tmp_path / "three.npz")
    for suffix in (".keras", ".safetensors"):
        file = tmp_path / f"colors{suffix}"
        result = newnet_tf.convert(
            tiny_zoo.NAME, tmp_path / "three.npz", file, class_names=own_models.COLORS
        )
        assert (result.metadata.class_names, result.metadata.trained) == (own_models.COLORS, True)
        loaded = (
            newnet_tf.load_model(file)
            if suffix == ".keras"
            else newnet_tf.load_model(tiny_zoo.NAME, weights=file)
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


def test_the_image_size_of_a_model_that_takes_any_is_asked():
    image = keras.Input((None, None, 3))
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, x, name="any_size")
    with pytest.raises(
        ValueError, match=r"the image size of 'any_size' must be known.*`image_size`"
    ):
        newnet_tf.load_model(model, preprocess_as="raw")
    assert newnet_tf.load_model(model, preprocess=PIXELS).preprocess.image_size == own_models.SIZE


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
