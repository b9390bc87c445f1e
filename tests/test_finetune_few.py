"""Finetuning on few images and small classes; what the first stage has made stays."""

import dataclasses
import warnings

import keras
import numpy as np
import pytest
from PIL import Image

from newnet_tf.api import finetune as api
from newnet_tf.data.augment.config import NONE
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.finetuning import full_finetune, holdout
from newnet_tf.finetuning.config import FinetuneConfig, check_run, evaluation_split
from newnet_tf.finetuning.feature_cache import ModelOutputs
from newnet_tf.finetuning.result import ALL_LAYERS, LINEAR_PROBE
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.training import Recipe
from newnet_tf.training.run_files import Diverged

SIZE = 32
PREPROCESS = PreprocessConfig(image_size=SIZE, crop_pct=1.0)
RECIPE = Recipe(lr=0.01, batch_size=32, epochs=1, augmentation=NONE)
COLORS = {"fog": (200, 200, 200), "sea": (30, 60, 180), "wood": (150, 90, 30)}


def photos(root, counts):
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.array(COLORS[name]) + random.normal(0, 20, (SIZE, SIZE, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(root / name / f"{number:02}.png")
    return root


def network(classes=3, activation="softmax"):
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, 4, activation="relu", name="stem")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(classes, name="classifier")(x)
    return keras.Model(image, keras.layers.Activation(activation, name="scores")(x), name="small")


def config(folder, dataset, **fields):
    usual = {"weights": "made", "preprocess": PREPROCESS, "recipe": RECIPE, "cap_lr": False}
    return FinetuneConfig(dataset=dataset, output_dir=folder, **(usual | fields))


def run(model, settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return api._run(model, settings)


def test_classes_of_one_two_and_three_images_give_a_model_and_a_report(tmp_path, capsys):
    dataset = load_dataset(photos(tmp_path / "photos", {"fog": 14, "sea": 3, "wood": 1}))
    assert dataset.split("train").size == 14
    result = run(network(), config(tmp_path / "run", dataset))
    assert result.recipe.batch_size == 3
    assert [stage.name for stage in result.stages] == [LINEAR_PROBE, ALL_LAYERS]
    assert result.model_file.is_file()
    assert result.report.is_file()
    assert "batches of 3 images instead of 32" in capsys.readouterr().err
    kept = {row["stage"]: row["kept"] for row in result.stage_table()}
    assert kept == {name: "yes" if name == result.kept_stage else "no" for name in kept}
    assert result.verdict in str(result)
    assert "stage is kept" in result.verdict


def test_small_classes_are_not_held_out(tmp_path):
    dataset = load_dataset(photos(tmp_path, {"fog": 15, "sea": 3, "wood": 2}))
    train = dataset.split("train")
    names = tuple(sample.name for sample in iter_samples(train))
    labels = np.array([sample.label for sample in iter_samples(train)])
    features = ModelOutputs(names, labels, np.zeros((len(names), 1)))
    trained, held_out = holdout.split_holdout(train, features, 0.25, 0)
    assert [sample.label for sample in iter_samples(held_out)] == [0, 0, 0]
    assert trained.size == train.size - 3
    single = load_dataset(photos(tmp_path / "b", {"fog": 2, "sea": 2})).split("train")
    names = tuple(sample.name for sample in iter_samples(single))
    features = ModelOutputs(names, np.array([0, 1]), np.zeros((2, 1)))
    assert holdout.split_holdout(single, features, 0.25, 0) == (single, None)


def test_a_class_without_training_images_is_named_before_any_work(tmp_path):
    root = photos(tmp_path / "photos", {"fog": 4, "sea": 4})
    lines = ["path,label,split"]
    lines += [f"fog/0{n}.png,fog,train\nsea/0{n}.png,sea,test" for n in range(4)]
    (root / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"must have a training image\. Received: none of sea"):
        evaluation_split(load_dataset(root / "labels.csv"))


@pytest.mark.parametrize("error", [ValueError("made"), Diverged("made"), KeyboardInterrupt()])
def test_the_first_stage_is_kept_whatever_happens_in_the_second(
    error, tmp_path, monkeypatch, capsys
):
    dataset = load_dataset(photos(tmp_path / "photos", {"fog": 6, "sea": 6}))

    def fail(model, *arguments):
        model.set_weights([np.nan * weights for weights in model.get_weights()])
        raise error

    monkeypatch.setattr(full_finetune, "train_all_layers", fail)
    model, settings = network(2), config(tmp_path / "run", dataset)
    if isinstance(error, Diverged):
        result = run(model, settings)
        assert (result.kept_stage, result.failure) == (LINEAR_PROBE, "made")
        assert "ended without a model (made): that of the first stage is kept" in str(result)
    else:
        with pytest.raises(type(error)):
            run(model, settings)
        assert "the model of the linear probe is " in capsys.readouterr().err
    saved = keras.models.load_model(tmp_path / "run" / "small.keras", compile=False)
    for weights, expected in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, expected)
        assert np.isfinite(weights).all()
    assert (tmp_path / "run" / "report.html").is_file()


def test_another_recipe_in_the_same_folder_is_refused_before_any_work(tmp_path):
    dataset = load_dataset(photos(tmp_path / "photos", {"fog": 8, "sea": 8}))
    settings = config(tmp_path / "run", dataset)
    run(network(2), settings)
    check_run(settings)
    check_run(dataclasses.replace(settings, cap_lr=True))  # which sets the rate itself
    for changes, words in {
        (("recipe", dataclasses.replace(RECIPE, epochs=3)),): "recipe.epochs 1, now 3",
        (("backbone_lr_scale", 0.5),): "data.backbone_lr_scale 0.25, now 0.5",
        (("preprocess", PreprocessConfig(image_size=64)),): "data.image_size 32, now 64",
    }.items():
        with pytest.raises(ValueError, match=f"have another folder.*Received: {words}"):
            check_run(dataclasses.replace(settings, **dict(changes)))
    check_run(dataclasses.replace(settings, recipe=None))


def test_early_stopping_watches_the_holdout_and_keeps_the_best_epoch(tmp_path):
    dataset = load_dataset(photos(tmp_path / "photos", {"fog": 20, "sea": 20}))
    recipe = dataclasses.replace(RECIPE, lr=1e-30, epochs=5, early_stopping=1)
    settings = config(tmp_path / "run", dataset, recipe=recipe, holdout_fraction=0.25)
    result = run(network(2), settings)
    assert len(result.history) == 2
    assert "figures of the held-out training images" in result.report.read_text()
    with pytest.raises(ValueError, match="`early_stopping` must come with a holdout"):
        check_run(dataclasses.replace(settings, holdout_fraction=0.0))
    named = dataclasses.replace(recipe, class_weight={"rose": 2.0})
    with pytest.raises(ValueError, match=r"classes of the data \(fog, sea\)\. Received: rose"):
        check_run(dataclasses.replace(settings, recipe=named))


def test_files_that_are_no_images_are_in_result_and_report(tmp_path):
    root = photos(tmp_path / "photos", {"fog": 5, "sea": 5})
    (root / "sea" / "notes.txt").write_text("x")
    result = run(network(2), config(tmp_path / "run", load_dataset(root), recipe=None))
    assert "1 file left out: no image" in str(result)
    assert "notes.txt" in result.report.read_text()


def test_several_labels_an_image_are_finetuned(tmp_path):
    root = photos(tmp_path / "photos", {"fog": 12, "sea": 12, "wood": 12})
    lines = ["path,labels"]
    for number in range(12):
        lines += [
            f"fog/{number:02}.png,bright;gray",
            f"sea/{number:02}.png,dark",
            f"wood/{number:02}.png,",
        ]
    (root / "labels.csv").write_text("\n".join(lines))
    dataset = load_dataset(root / "labels.csv")
    recipe = dataclasses.replace(RECIPE, class_weight="balanced")
    settings = config(tmp_path / "run", dataset, recipe=recipe, holdout_fraction=0.2)
    result = run(network(3, "sigmoid"), settings)
    assert set(result.metrics) == {"mAP", "micro_f1"}
    assert result.metrics["mAP"] == 100
    assert result.metadata.output_type == "sigmoid"
    assert "points" in result.verdict
    assert [*result.stage_table()[0]] == ["stage", "mAP", "micro-F1", "n", "seconds", "kept"]
    header, *rows = (tmp_path / "run" / "predictions.csv").read_text().splitlines()
    assert header == "file,class,predicted,bright,dark,gray"
    assert {row.split(",")[1] for row in rows} == {"bright;gray", "dark", ""}
