"""Finetuning by the command: split, report, predictions, files, resuming."""

import csv
import json
import warnings

import keras
import pytest
import tiny_zoo
from tiny_photos import CLASSES, EACH, make_photos, quietly

import newnet_tf
from newnet_tf import deploy, inference, results
from newnet_tf.cli import main
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.finetuning import feature_cache, full_finetune
from newnet_tf.models.model_file import read_metadata

NETWORK, SIDE = tiny_zoo.NAME, 64


@pytest.fixture(scope="module", autouse=True)
def zoo():
    """The small network is a model of the zoo."""
    with tiny_zoo.registered():
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Its weights of ten classes, to start from."""
    return tiny_zoo.weights(tmp_path_factory.mktemp("weights") / "made.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three classes of images; one file is broken."""
    return make_photos(tmp_path_factory.mktemp("images") / "photos")


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def run(photos, weights, tmp_path_factory):
    """A whole run by the command: its folder and the command."""
    folder = tmp_path_factory.mktemp("runs") / "photos"
    command = ["finetune", NETWORK, "--weights", str(weights), "--data", str(photos)]
    command += ["-o", str(folder)]
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
        "made.safetensors, all layers",
        "made.safetensors, linear probe",
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


def test_results_models_and_folders_are_evaluated_alike(photos, weights, tmp_path):
    """`evaluate` and `predict` take the result, its Keras model and its folder."""
    dataset = load_dataset(photos, validation_split=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the new classifier, the broken image
        result = newnet_tf.finetune(
            NETWORK,
            dataset,
            weights=weights,
            output_dir=tmp_path,
            image_size=SIDE,
            linear_probe=True,
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
def test_mistakes_end_in_one_clear_line(change, words, run, photos, weights, capsys):
    command = {"MODEL": NETWORK, "--data": str(photos), "-o": str(run[0])}
    command |= {"--image-size": str(SIDE), "--validation-split": "0.25"} | dict([change])
    model = command.pop("MODEL")
    if model == NETWORK:
        command["--weights"] = str(weights)
    before = sorted(run[0].iterdir())
    assert main(["finetune", model, *(part for pair in command.items() for part in pair)]) == 1
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Received: " in captured.err
    assert captured.out == ""
    assert sorted(run[0].iterdir()) == before
