"""Finetuning: a linear probe as an exact last layer, then all layers, report and files."""

import csv
import dataclasses
import json
import os
import warnings

import keras
import numpy as np
import pytest
from PIL import Image

import newnet_tf
from newnet_tf import deploy, inference, results
from newnet_tf.classification.linear_probe import fit_linear
from newnet_tf.cli import main
from newnet_tf.data.augment.config import NONE
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.finetuning import feature_cache, full_finetune, holdout, lr_bound
from newnet_tf.finetuning.full_finetune import scaled_lr_step, train_all_layers
from newnet_tf.models.model_file import read_metadata
from newnet_tf.training import Recipe

NETWORK, SIDE, EACH = "efficientnet_lite0", 64, 20
SMALL = "mobilenet_v1_025"  # for tests of what does not depend on the network
CLASSES = ("fog", "sea", "wood")
COLORS = ((200, 200, 200), (30, 60, 180), (150, 90, 30))
PREPROCESS = dataclasses.replace(newnet_tf.model_card(NETWORK).preprocess, image_size=SIDE)
RECIPE = Recipe(lr=0.05, batch_size=8, epochs=1, augmentation=NONE)


def colored_images(seed):
    """Yields (class, image) in turn: shades of a color, with a little noise."""
    generator = np.random.default_rng(seed)
    for number in range(len(CLASSES) * EACH):
        shade = np.array(COLORS[number % len(CLASSES)]) + generator.normal(0, 15, 3)
        pixels = shade + generator.normal(0, 20, (12, 15, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        yield CLASSES[number % len(CLASSES)], image.resize((60, 48))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of images; one file is broken."""
    root = tmp_path_factory.mktemp("images") / "photos"
    for number, (name, image) in enumerate(colored_images(0)):
        (root / name).mkdir(parents=True, exist_ok=True)
        image.save(root / name / f"{number:02}.jpg")
    (root / "fog" / "99.jpg").write_bytes(b"\xff\xd8 nothing")
    return root


@pytest.fixture(scope="module")
def loaded():
    options = {"weights": None, "classes": len(CLASSES), "input_shape": PREPROCESS.shape}
    model = newnet_tf.create_model(SMALL, **options)
    return model, model.get_weights()


@pytest.fixture
def network(loaded):
    """The small network with its first weights."""
    model, weights = loaded
    model.set_weights(weights)
    return model


@pytest.fixture(scope="module")
def source(photos):
    return load_dataset(photos, validation_split=0.25)


def quietly(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one names the broken image
        return function(*arguments)


def cached(extractor, split, file):
    return quietly(feature_cache.cached_outputs, extractor, split, PREPROCESS, file)


def test_the_last_layer_is_the_linear_classifier_exactly(network, source, tmp_path):
    extractor = feature_cache.feature_extractor(network)
    train, _ = cached(extractor, source.split("train"), tmp_path / "train.npz")
    linear = fit_linear(train.values, train.labels)
    feature_cache.set_classifier(network, linear)
    test = quietly(feature_cache.compute_outputs, extractor, source.split(), PREPROCESS)
    whole = quietly(feature_cache.compute_outputs, network, source.split(), PREPROCESS)
    assert whole.names == test.names
    scores = linear.scores(test.values.astype(np.float64))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(whole.values, powers / powers.sum(1, keepdims=True), atol=1e-4)
    np.testing.assert_array_equal(whole.result().topk[:, 0], scores.argmax(axis=1))
    assert whole.result().accuracy() > 80


def test_linear_of_another_shape_is_refused(network):
    linear = fit_linear(np.random.default_rng(0).normal(size=(9, 4)), [0, 1, 2] * 3)
    with pytest.raises(ValueError, match=r"Received: \(4, 3\)"):
        feature_cache.set_classifier(network, linear)


def small(dropout=0.0):
    """A network that ends as the zoo's do, and a batch for it."""
    keras.utils.set_random_seed(0)
    image = keras.Input((4,))
    hidden = keras.layers.Dense(5, activation="tanh", name="body")(image)
    hidden = keras.layers.Dropout(dropout)(hidden)
    model = keras.Model(image, keras.layers.Dense(3, name="classifier")(hidden))
    generator = np.random.default_rng(0)
    images = generator.normal(size=(16, 4)).astype("f4")
    return model, images, np.eye(3, dtype="f4")[generator.integers(0, 3, 16)]


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_largest_stable_learning_rate_is_one_over_the_largest_curvature(share, capsys):
    """Against the eigenvalues of the whole Hessian; dropout is no part of it, and comes back."""
    import tensorflow as tf

    model, images, targets = small(dropout=0.5)
    head = model.get_layer("classifier").trainable_variables
    before = model.get_weights()
    found = lr_bound.max_stable_lr(model, head, share, images, targets)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.layers[2].rate == 0.5
    values = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            logits = model(images, training=False)
            losses = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
            loss = tf.reduce_mean(losses)
        gradient = tf.concat([tf.reshape(g, [-1]) for g in inner.gradient(loss, values)], 0)
    rows = [tf.reshape(x, [gradient.shape[0], -1]) for x in outer.jacobian(gradient, values)]
    counts = [tf.size(v).numpy() for v in values]
    shares = [1.0 if any(v is h for h in head) else share for v in model.trainable_variables]
    scale = np.repeat(shares, counts)[:, None] ** 0.5
    exact = np.linalg.eigvalsh(scale * np.concatenate(rows, axis=1) * scale.T)[-1]
    assert found == pytest.approx(1 / exact, rel=0.05)


def test_a_learning_rate_is_capped_at_the_largest_stable_one(network, source, tmp_path, capsys):
    arguments = network, source, PREPROCESS
    lowered = lr_bound.cap_learning_rate(*arguments, dataclasses.replace(RECIPE, lr=1e3), tmp_path)
    again = lr_bound.cap_learning_rate(*arguments, dataclasses.replace(RECIPE, lr=1e3), tmp_path)
    assert again == lowered  # to the last digit: it was stored
    assert 1e-4 < lowered.peak_lr < 1
    slow = dataclasses.replace(RECIPE, lr=1e-6)
    assert lr_bound.cap_learning_rate(*arguments, slow, tmp_path) == slow
    other = dataclasses.replace(RECIPE, optimizer="adamw", lr=1e3)
    assert lr_bound.cap_learning_rate(*arguments, other, tmp_path) == other
    norms = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert all(layer.trainable for layer in norms)


def test_features_are_cached_until_something_changes(network, source, photos, tmp_path):
    file, extractor = tmp_path / "features.npz", feature_cache.feature_extractor(network)
    first, is_cached = cached(extractor, source.split("train"), file)
    assert not is_cached
    again, is_cached = cached(extractor, source.split("train"), file)
    assert is_cached
    assert (again.names, again.skipped) == (first.names, first.skipped)
    np.testing.assert_array_equal(again.values, first.values)
    assert len(first.skipped) == 1
    assert first.skipped[0].path.endswith("99.jpg")
    assert len(first.names) == source.split("train").size - 1
    file.write_bytes(file.read_bytes()[:500])
    assert not cached(extractor, source.split("train"), file)[1]
    assert not cached(extractor, source.split(), file)[1]  # other images
    assert cached(extractor, source.split(), file)[1]
    image = source.split().image_source(next(iter(source.split().batches(1)))[0].numpy()[0])
    state = os.stat(image)
    os.utime(image, ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert not cached(extractor, source.split(), file)[1]
    layer = network.get_layer("stem_conv")
    layer.set_weights([1.01 * value for value in layer.get_weights()])
    assert not cached(extractor, source.split(), file)[1]


def test_networks_without_pooled_features_are_refused():
    model = newnet_tf.create_model("squeezenet1_1", weights=None, input_shape=(64, 64, 3))
    with pytest.raises(ValueError, match=r"pooled features.*Received: 'squeezenet1_1'"):
        feature_cache.feature_extractor(model)
    image = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="must have a layer `classifier`"):
        feature_cache.feature_extractor(keras.Model(image, keras.layers.Flatten()(image)))


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_batch_norm_stays_as_it_is_unless_asked(batch_norm, network, source, tmp_path, capsys):
    def weights(kind):
        found = [layer for layer in network.layers if isinstance(layer, kind)]
        return [value.copy() for layer in found for value in layer.get_weights()]

    before = weights(keras.layers.BatchNormalization), weights(keras.layers.Conv2D)
    train_all_layers(network, source, PREPROCESS, RECIPE, tmp_path / "run", batch_norm=batch_norm)
    after = weights(keras.layers.BatchNormalization), weights(keras.layers.Conv2D)
    same = [np.array_equal(a, b) for a, b in zip(before[0], after[0], strict=True)]
    assert all(same) == (batch_norm == "frozen")
    assert not any(np.array_equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    norm_layers = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert all(layer.trainable for layer in norm_layers)


def test_pretrained_layers_have_a_fraction_of_the_learning_rate():
    def moved(share):
        model, images, targets = small()
        model.compile(keras.optimizers.SGD(0.1), keras.losses.MeanSquaredError())
        first = [model.get_layer(name).get_weights()[0] for name in ("body", "classifier")]
        step = scaled_lr_step(model, model.get_layer("classifier").trainable_variables, share)
        step(images, targets)
        last = [model.get_layer(name).get_weights()[0] for name in ("body", "classifier")]
        return [b - a for a, b in zip(first, last, strict=True)]

    (body, head), (slow, same), (still, _) = moved(1.0), moved(0.1), moved(0.0)
    assert np.abs(body).min() > 0
    rounding = float(np.spacing(np.float32(1)))  # of weights, of which these are differences
    np.testing.assert_allclose(slow, 0.1 * body, rtol=1e-4, atol=rounding)
    np.testing.assert_array_equal(same, head)
    np.testing.assert_array_equal(still, 0 * body)


def test_the_holdout_has_images_of_every_class_that_are_not_trained_on(source, network, tmp_path):
    train = source.split("train")
    features, _ = cached(feature_cache.feature_extractor(network), train, tmp_path / "train.npz")
    trained, held_out = holdout.split_holdout(train, features, 0.2, 0)
    parts = [[(p.name, p.label) for p in iter_samples(part)] for part in (trained, held_out)]
    assert sorted(parts[0] + parts[1]) == sorted(
        zip(features.names, features.labels.tolist(), strict=True)
    )
    assert np.bincount([label for _, label in parts[1]]).tolist() == [3, 3, 3]
    assert [
        (p.name, p.label) for p in iter_samples(holdout.split_holdout(train, features, 0.2, 0)[1])
    ] == (parts[1])
    assert holdout.split_holdout(train, features, 0, 0) == (train, None)
    few, _ = holdout.split_holdout(train, features, 0.9, 0)  # two images of each class remain
    assert np.bincount([p.label for p in iter_samples(few)]).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="must lie in \\[0, 1\\)"):
        holdout.split_holdout(train, features, 1.5, 0)


def test_another_second_stage_in_the_same_folder_is_refused(network, source, tmp_path, capsys):
    train_all_layers(network, source, PREPROCESS, RECIPE, tmp_path / "run", backbone_lr_scale=0.1)
    with pytest.raises(ValueError, match="backbone_lr_scale"):
        train_all_layers(
            network, source, PREPROCESS, RECIPE, tmp_path / "run", backbone_lr_scale=0.5
        )
    with pytest.raises(ValueError, match="`batch_norm` must be among"):
        train_all_layers(network, source, PREPROCESS, RECIPE, tmp_path / "new", batch_norm="thawed")


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A whole run by the command: its folder and the command."""
    folder = tmp_path_factory.mktemp("runs") / "photos"
    command = ["finetune", NETWORK, "--data", str(photos), "-o", str(folder)]
    command += ["--image-size", str(SIDE), "--validation-split", "0.25"]
    command += ["--epochs", "2", "--set", "batch_size=8,warmup=0.5,lr=0.005", "--json"]
    assert main([*command, "--precision", "fp32"]) == 0
    return folder, command


def test_split_is_by_class_and_seeded(run, photos):
    split = rows(run[0] / "split.csv")
    counts = {
        (part, name): sum(r["split"] == part and r["class"] == name for r in split)
        for part in ("train", "holdout", "test")
        for name in CLASSES
    }
    assert {counts["test", name] for name in CLASSES} == {EACH // 4}
    assert {counts["holdout", name] for name in CLASSES} == {2}
    assert sum(counts.values()) == len({r["file"] for r in split}) == 3 * EACH + 1
    expected = load_dataset(photos, validation_split=0.25, seed=0).split()
    names = [name.decode() for batch in expected.batches(99) for name in batch[2].numpy()]
    assert [r["file"] for r in split if r["split"] == "test"] == names


def test_report_is_one_file_with_all_of_it(run):
    page = (run[0] / "report.html").read_text()
    for words in ("linear probe", "all layers", "Confusion matrix", "Worst mistakes", "fp32.tflite",
                  "Loss and error by epoch", "99.jpg", "batch norm frozen", *CLASSES):  # fmt: skip
        assert words in page, words
    assert "http" not in page.replace("http://www.w3.org", "")
    assert len(rows(run[0] / "training" / "history.csv")) == 2


def test_predictions_gallery_and_files_agree(run, photos, capsys):
    found = rows(run[0] / "predictions.csv")
    right = sum(r["class"] == r["predicted"] for r in found)
    for file in (f"{NETWORK}.keras", f"{NETWORK}.fp32.tflite"):
        capsys.readouterr()
        command = ["evaluate", str(run[0] / file), "--data", str(photos), "--json"]
        assert main([*command, "--validation-split", "0.25"]) == 0
        evaluated = json.loads(capsys.readouterr().out)
        assert (
            evaluated["n"]
            == len(found)
            == 15 - any("99.jpg" in b["image"] for b in evaluated["skipped"])
        )
        assert evaluated["top1"]["accuracy"] == pytest.approx(100 * right / len(found))
    wrong = len(found) - right
    page = (run[0] / "report.html").read_text()
    assert page.count("<figure") == wrong
    assert not list(run[0].glob(".*"))


def test_files_are_calibrated_on_training_images_and_verified_on_others(run, capsys, monkeypatch):
    """A file that comes out wrong ends the command, but not what was written before."""
    folder, command = run
    split = rows(folder / "split.csv")
    parts = {
        is_test: {
            r["file"]
            for r in split
            if (r["split"] == "test") == is_test and "99.jpg" not in r["file"]
        }
        for is_test in (False, True)
    }
    options_seen = {}

    def refuse(model, record, out_dir, **options):
        options_seen.update(options)
        raise ValueError("no such file can be. Received: a test")

    monkeypatch.setattr(deploy, "export_tflite", refuse, raising=False)
    assert main([*command, "--precision", "int8-full"]) == 1
    assert "no such file can be" in capsys.readouterr().err
    assert set(options_seen["calibration_images"]) == parts[False]
    assert set(options_seen["validation_images"]) == parts[True]
    assert (folder / "report.html").is_file()


def test_a_model_file_needs_no_arguments(run, photos):
    """Preprocessing, image size and labels are saved with it."""
    file = run[0] / f"{NETWORK}.keras"
    assert read_metadata(file).preprocess.image_size == SIDE
    predictor = inference.load_predictor(file)
    assert predictor.class_names == CLASSES
    model = keras.models.load_model(file, compile=False)
    assert model.output_shape == (None, 3)
    assert all(layer.trainable for layer in model.layers)


def test_a_run_resumes_and_saves_results(run, capsys, tmp_path, monkeypatch):
    """The same command again: features and training are read, the predictions are the same."""
    folder, command = run
    before = rows(folder / "predictions.csv")
    monkeypatch.setattr(results, "HERE", tmp_path)
    assert main([*command, "--save-results"]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("read from") == 2
    assert rows(folder / "predictions.csv") == before
    answer = json.loads(captured.out)
    assert [stage["stage"] for stage in answer["stages"]] == ["linear probe", "all layers"]
    assert answer["kept_stage"] == "all layers"
    assert "no worse" in answer["holdout"]
    assert answer["skipped"][0]["image"].endswith("99.jpg")
    table = results.read("accuracy")
    assert [row["weights"] for row in table] == [
        "imagenet, all layers",
        "imagenet, linear probe",
    ]
    assert {row["data"] for row in table} == {"photos, finetuned"}
    assert "2 epochs" in table[0]["note"]


@pytest.mark.slow
def test_a_second_stage_that_comes_out_worse_is_not_kept(run, tmp_path, capsys, monkeypatch):
    """It is said where the accuracy stands, and the files are those of the first stage."""
    real = full_finetune.train_all_layers

    def negate_classifier(model, *arguments):
        outcome, layer = real(model, *arguments), model.get_layer("classifier")
        layer.set_weights([-value for value in layer.get_weights()])
        return outcome

    monkeypatch.setattr(full_finetune, "train_all_layers", negate_classifier)
    command = [*run[1], "--linear-probe"]
    command[command.index("-o") + 1] = str(tmp_path)
    assert main(command) == 0
    first = rows(tmp_path / "predictions.csv")
    capsys.readouterr()
    command = [part for part in command if part != "--linear-probe"]
    assert main([*command, "--holdout-fraction", "0.4"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["kept_stage"] == "linear probe"
    assert "came out worse" in answer["holdout"]
    tops = {stage["stage"]: float(stage["top-1"]) for stage in answer["stages"]}
    assert tops["all layers"] < tops["linear probe"]
    page = (tmp_path / "report.html").read_text()
    assert answer["holdout"].split(" (")[0] in page
    assert f"<b>{tops['linear probe']:.2f} %</b>" in page
    assert rows(tmp_path / "predictions.csv") == first
    model = keras.models.load_model(tmp_path / f"{NETWORK}.keras", compile=False)
    record, split = (
        read_metadata(tmp_path / f"{NETWORK}.keras").preprocess,
        load_dataset(run[1][run[1].index("--data") + 1], validation_split=0.25).split(),
    )
    evaluated = quietly(feature_cache.compute_outputs, model, split, record).result()
    assert evaluated.accuracy() == pytest.approx(tops["linear probe"], abs=0.01)


def test_results_models_and_folders_are_evaluated_alike(photos, tmp_path):
    """`evaluate` and `predict` take the result, its Keras model and its folder."""
    dataset = load_dataset(photos, validation_split=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the new classifier, the broken image
        result = newnet_tf.finetune(
            NETWORK, dataset, output_dir=tmp_path, image_size=SIDE, linear_probe=True
        )
        split = dataset.split("validation")
        results = [newnet_tf.evaluate(model, split) for model in (result.model, result, tmp_path)]
        by_name = newnet_tf.evaluate(result.model, dataset)
    assert result.metrics == {"top1": result.result.accuracy()}
    assert {found.accuracy() for found in (*results, by_name)} == {result.metrics["top1"]}
    assert by_name.class_names == result.class_names == CLASSES
    assert (result.kept_stage, result.comparison, result.history) == ("linear probe", None, ())
    assert result.files == (tmp_path / f"{NETWORK}.keras", tmp_path / "report.html")
    assert all(file.is_file() for file in result.files)
    assert f"{NETWORK} on photos, 3 classes" in str(result)
    image, label = by_name.paths[0], CLASSES[by_name.topk[0, 0]]
    predictions = [newnet_tf.load_predictor(model)(image) for model in (result, tmp_path)]
    assert [best[0].label for best in predictions] == [label, label]
    assert [p.label for p in predictions[0]] == [p.label for p in predictions[1]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["MODEL", "newnet_small"], "no public weights"),
        (["--data", "nowhere"], "imagenet_v2"),
        (["--precision", "int4"], "int8-full"),
        (["--set", "rate=1"], "a recipe has no field of this name"),
    ],
)
def test_mistakes_end_in_one_clear_line(change, words, run, photos, capsys):
    command = {"MODEL": NETWORK, "--data": str(photos), "-o": str(run[0])}
    command |= {"--image-size": str(SIDE), "--validation-split": "0.25"} | dict([change])
    model = command.pop("MODEL")
    before = sorted(run[0].iterdir())
    assert main(["finetune", model, *(part for pair in command.items() for part in pair)]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Received: " in captured.err
    assert captured.out == ""
    assert sorted(run[0].iterdir()) == before
