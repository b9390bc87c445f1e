"""What the command line says: suggestions, a model on one screen, the list, advice after a refusal."""

import dataclasses
import json
import logging

import pytest

import newnet_tf
from newnet_tf import results
from newnet_tf.api.data_arguments import check_run_folder
from newnet_tf.cli import main
from newnet_tf.deploy.advice import advice
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.training import checkpoint
from newnet_tf.training.recipe_registry import get_recipe
from newnet_tf.utils.suggest import nearest, suggestion

KNOWN = ("fp32", "fp16", "int8-dynamic", "int8-full")


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("fp23", ["fp32"]),
        ("int8_full", ["int8-full"]),
        ("INT8", ["int8-dynamic", "int8-full"]),  # those that begin so come first
        ("zzz", []),
        ("", []),
        (None, []),
    ],
)
def test_nearest_words(word, names):
    assert nearest(word, KNOWN)[: len(names) or 1] == names


def test_a_suggestion_is_a_sentence():
    assert suggestion("fp23", KNOWN) == ". Did you mean 'fp32'?"
    assert suggestion("ab", ["abc", "abd", "abe"]) == ". Did you mean 'abc', 'abd' or 'abe'?"
    assert suggestion("cutmix", ["augmentation.cutmix_alpha", "lr"]).count("'") == 2
    assert suggestion("zzz", KNOWN) == ""


@pytest.mark.parametrize("name", ["rexnet_100", "efficientnet_lite0", "resnet50", "newnet_small"])
def test_info_fits_a_screen(name, capsys):
    assert main(["info", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 10 <= len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert main(["info", name, "--full"]) == 0
    full = capsys.readouterr().out
    assert len(full.splitlines()) > len(lines)
    assert "Measured: " in full


def test_info_shows_measured_latency(capsys):
    row = next(
        r
        for r in results.read("latency")
        if (r["model"], r["precision"], r["threads"]) == ("mobilenet_v1_100", "fp32", "1")
    )
    assert main(["info", "mobilenet_v1_100"]) == 0
    out = capsys.readouterr().out
    shown = f"{float(row['median_ms']):.1f} ms, {float(row['ratio']):.2f} of {row['baseline']}"
    assert shown in out


def test_list_shows_latency_and_weights_in_100_columns(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert {"fp32", "int8", "weights"} <= set(lines[0].split())
    row = next(line.split() for line in lines if line.startswith("resnet50 "))
    assert row[-2:] == ["tv_in1k", "+2"]
    assert main(["list", "mobilenet_v1_100", "--json"]) == 0
    [values] = json.loads(capsys.readouterr().out)
    times = {
        r["precision"]: round(float(r["median_ms"]), 1)
        for r in results.read("latency")
        if (r["model"], r["threads"]) == ("mobilenet_v1_100", "1")
    }
    assert (values["fp32_ms"], values["int8_ms"]) == (times["fp32"], times["int8-full"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_advice_names_what_a_precision_can_be_changed_to(precision):
    text = advice(precision)
    assert bool(text) == (precision not in ("fp32", "fp16"))
    if text:
        assert "--calibration-images" in text
        assert "--precision fp16" in text
    assert ("--exclude-layers" in text) == (precision in ("int8-full", "litert-static"))


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A folder with the checkpoint of a run of 3 epochs, and its recipe."""
    recipe = dataclasses.replace(get_recipe("finetune"), epochs=3)
    fingerprint = {"recipe": recipe.flat()}
    (tmp_path / checkpoint.NAME).touch()
    monkeypatch.setattr(checkpoint, "read_fingerprint", lambda path: fingerprint)
    return tmp_path, recipe


def test_a_run_with_other_epochs_is_refused_before_anything_is_read(run_folder):
    folder, recipe = run_folder
    longer = dataclasses.replace(recipe, epochs=5)
    with pytest.raises(ValueError, match=r"recipe\.epochs 3, now 5"):
        check_run_folder(folder, longer, resume=True)
    with pytest.raises(
        ValueError, match=r"--resume.*which has a checkpoint.*recipe\.epochs 3, now 5"
    ):
        check_run_folder(folder, longer, resume=False)
    with pytest.raises(ValueError, match=r"which has a checkpoint$"):
        check_run_folder(folder, recipe, resume=False)
    check_run_folder(folder, recipe, resume=True)
    check_run_folder(folder / "new", longer, resume=False)


def test_a_batch_size_that_the_run_lowered_is_no_other_setting(run_folder):
    folder, recipe = run_folder
    check_run_folder(folder, dataclasses.replace(recipe, batch_size=512), resume=True)
    with pytest.raises(ValueError, match=r"batch_size 32, now 16"):
        check_run_folder(folder, dataclasses.replace(recipe, batch_size=16), resume=True)


def test_train_refuses_a_used_folder_before_the_dataset_is_read(run_folder, tmp_path_factory):
    folder, _ = run_folder
    data = tmp_path_factory.mktemp("data")
    (data / "image.jpg").write_text("no image: an error if it were read")
    with pytest.raises(ValueError, match=r"recipe\.epochs 3, now 9"):
        newnet_tf.train(
            "newnet_small", data, recipe="finetune", epochs=9, output_dir=folder, resume=True
        )


def test_retracing_warnings_of_tensorflow_are_not_shown(caplog):
    assert main(["list", "newnet_small"]) == 0
    logger = logging.getLogger("tensorflow")
    logger.warning("5 out of the last 5 calls to %s triggered tf.function retracing.", "f")
    logger.warning("another warning")
    assert [record.getMessage() for record in caplog.records] == ["another warning"]
