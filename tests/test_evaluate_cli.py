"""`newnet evaluate`: one model in four formats has the same accuracy; bad images are skipped."""

import json
import tarfile
import zipfile

import numpy as np
import pytest
import small_network
from PIL import Image

import newnet_tf
from newnet_tf import inference, results
from newnet_tf.classification.class_matching import match_classes
from newnet_tf.cli import main
from newnet_tf.data.images import list_images, read_image
from newnet_tf.data.labels import imagenet_labels
from newnet_tf.deploy import export_saved_model, export_tflite
from newnet_tf.models.config.metadata import ModelMetadata

NAMES = tuple(f"kind_{i}" for i in range(small_network.CLASSES))
FORMS = ("small.keras", "small.fp32.tflite", "small.fp32.pixels.tflite", "served")


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The folder of one network as a Keras file, two TFLite files and a SavedModel."""
    folder = tmp_path_factory.mktemp("forms")
    model, images = small_network.network(), small_network.images()
    known = ModelMetadata(
        name="small",
        preprocess=small_network.PREPROCESS,
        class_names=NAMES,
        output_type="probabilities",
    )
    newnet_tf.save_model(model, folder / "small.keras", known)
    for with_pixels in (False, True):
        export_tflite(
            model,
            known,
            folder,
            validation_images=images,
            embed_normalization=with_pixels,
        )
    export_saved_model(model, folder / "served", known)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory, forms):
    """Images in folders of the classes that the network sees in them, two in a wrong one."""
    folder = tmp_path_factory.mktemp("data")
    predictor = inference.load_predictor(forms / "small.keras")
    for number, pixels in enumerate(small_network.images()):
        image = Image.fromarray(pixels).resize((88, 72 + number % 5))
        label = int(predictor.probabilities(np.asarray(image)).argmax())
        label = (label + 1) % small_network.CLASSES if number in (3, 9) else label
        place = folder / NAMES[label]
        place.mkdir(exist_ok=True)
        image.save(place / f"{number:02}.png")
    (place / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    return folder


def evaluate_json(capsys, *arguments):
    assert main(["evaluate", *map(str, arguments), "--split", "all", "--json"]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_numbers(form, forms, data, capsys):
    found, err = evaluate_json(capsys, forms / form, "--data", data)
    assert found["n"] == 24
    assert found["top1"]["accuracy"] == pytest.approx(100 * 22 / 24)
    assert found["top1"]["interval"][0] < 90 < found["top1"]["interval"][1]
    assert found["top5"]["accuracy"] >= found["top1"]["accuracy"]
    assert (found["model"], found["precision"]) == ("small", "fp32")
    assert [b["image"].endswith("broken.jpg") for b in found["skipped"]] == [True]
    assert "skipped: " in err
    assert "broken.jpg" in err
    wrong = [row for row in found["classes"] if row["top-1"] != "100.0"]
    assert found["classes"][: len(wrong)] == wrong  # the worst come first
    assert sum(row["n"] for row in found["classes"]) == 24


def test_every_form_gives_the_same_probabilities(forms, data):
    """Keras and the TFLite files see the same pixels; the SavedModel's resizing differs by levels."""
    loaded = {form: inference.load_predictor(forms / form) for form in FORMS}
    images = [read_image(path) for path in list_images(data) if path.suffix == ".png"]
    answers = {
        form: np.concatenate([predictor.probabilities(image) for image in images])
        for form, predictor in loaded.items()
    }
    for form, bound in zip(FORMS[1:], (1e-5, 1e-5, 0.03), strict=True):
        np.testing.assert_allclose(answers[form], answers["small.keras"], atol=bound, err_msg=form)
    batched = loaded["small.keras"].scores([loaded["small.keras"].prepare(p) for p in images])
    np.testing.assert_allclose(batched, answers["small.keras"], atol=1e-5)
    assert {predictor.class_names for predictor in loaded.values()} == {NAMES}


def test_per_class_is_a_table_and_a_sample_is_always_the_same(forms, data, capsys):
    model = str(forms / "small.keras")
    command = ["evaluate", model, "--data", str(data), "--split", "all"]
    assert main([*command, "--per-class"]) == 0
    out = capsys.readouterr().out
    assert "top-1 91.67 % (95 %: " in out
    assert "most often confused with" in out
    assert main(command) == 0
    assert "worst classes" in capsys.readouterr().out
    samples = [
        evaluate_json(capsys, model, "--data", data, "--max-samples", 9)[0] for _ in range(2)
    ]
    assert samples[0] == samples[1]
    assert 8 <= samples[0]["n"] <= 9  # the broken one may be among them


def test_a_tarball_is_evaluated_as_its_folder(forms, data, tmp_path, capsys):
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        archive.add(data, "images/test")
    model = str(forms / "small.keras")
    assert main(["evaluate", model, "--data", str(tmp_path / "images.tar"), "--json"]) == 0
    found, folder = (
        json.loads(capsys.readouterr().out),
        evaluate_json(capsys, model, "--data", data)[0],
    )
    assert found["split"] == "test"
    assert "images.tar:images/test/" in found["skipped"][0]["reason"]
    for key in ("n", "top1", "top5", "classes"):
        assert found[key] == folder[key]


def test_save_results_writes_the_row(forms, data, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "HERE", tmp_path)
    for form in FORMS[:2]:
        evaluate_json(capsys, forms / form, "--data", data, "--save-results")
    rows = results.read("accuracy")
    assert [row["weights"] for row in rows] == ["small.fp32.tflite", "small.keras"]
    assert {row["model"] for row in rows} == {"small"}
    assert {(row["n"], row["skipped"], row["top1"]) for row in rows} == {("24", "1", "91.67")}


def test_predict_knows_a_savedmodel_and_the_labels(forms, data, capsys):
    image = next(path for path in list_images(data) if path.suffix == ".png")
    answers = []
    for form in FORMS:
        assert main(["predict", str(forms / form), str(image), "--json"]) == 0
        best = json.loads(capsys.readouterr().out)["images"][0]["predictions"][0]
        answers.append(best["label"])
    assert set(answers) == {answers[0]}
    assert answers[0] in NAMES


def test_classes_are_matched_by_name():
    labels = imagenet_labels()
    assert match_classes(("a", "b"), ("b", "a", "c"), 3) == [1, 0]
    with pytest.raises(ValueError, match=r"must be the model's.*Received: \['d'\]"):
        match_classes(("a", "d"), ("b", "a", "c"), 3)
    assert match_classes(("x", "y", "z"), None, 3) == [0, 1, 2]
    with pytest.raises(
        ValueError, match=r"3 classes, whose names are unknown.*Received: 2 classes"
    ):
        match_classes(("x", "y"), None, 3)
    names = tuple(label.name for label in labels)
    wnids = (labels[7].wnid, labels[501].wnid)
    assert match_classes(wnids, names, 1000) == [7, 501]
    assert match_classes(names, names, 1000) == list(range(1000))
    with pytest.raises(ValueError, match=r"wnids.*Received: \['daisy'\]"):
        match_classes(("daisy",), names, 1000)


def test_a_predictor_takes_what_read_image_takes(forms, data):
    """One image gives a list of predictions, a list of images a list of lists."""
    path = next(path for path in list_images(data) if path.suffix == ".png")
    pixels = read_image(path)
    for form in FORMS:
        predictor = newnet_tf.load_predictor(forms / form)
        best = predictor(path, top=2)
        assert [p.class_index for p in best] == list(
            np.argsort(-predictor.probabilities(pixels)[0])[:2]
        )
        assert best[0].label == NAMES[best[0].class_index]
        assert best[0].score >= best[1].score
        for image in (path.read_bytes(), Image.open(path), pixels):
            assert predictor(image, top=2) == best
        assert (
            predictor([path, pixels], top=2) == [best, best] == predictor(pixels[None], top=2) * 2
        )
    with pytest.raises(ValueError, match=r"`top` must be a positive int or None. Received: top=0"):
        predictor(path, top=0)
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        predictor(next(data.rglob("broken.jpg")))


def test_predict_skips_and_counts(forms, data):
    with pytest.warns(UserWarning, match="1 of 25 images skipped"):
        result = newnet_tf.predict(forms / "small.keras", data, top=1)
    assert (len(result), len(result.skipped)) == (24, 1)
    assert result[0].image == str(list_images(data)[0])
    assert len(result[0].predictions) == 1
    assert str(result[0].predictions[0]) in str(result)


def test_evaluate_takes_models_datasets_and_splits(forms, data):
    """A Keras model from `load_model` keeps its preprocessing and class names."""
    loaded = newnet_tf.load_model(forms / "small.keras")
    dataset = newnet_tf.load_dataset(data)
    with pytest.warns(UserWarning, match="1 of 25 images skipped"):
        result = newnet_tf.evaluate(loaded.model, dataset, split="all")
    assert (result.model, result.dataset, result.split) == ("small", dataset.name, "all")
    assert result.metrics["top1"] == pytest.approx(100 * 22 / 24)
    assert result.class_names == NAMES
    with pytest.warns(UserWarning, match="1 of 25 images skipped"):
        same = newnet_tf.evaluate(newnet_tf.load_predictor(loaded.model), str(data), split="all")
    np.testing.assert_array_equal(same.topk, result.topk)
    unknown = small_network.network()
    with pytest.raises(
        ValueError, match=r"preprocessing of small must be known: pass `preprocess_as`.*Received: "
    ):
        newnet_tf.evaluate(unknown, dataset, split="all")
    with pytest.warns(UserWarning, match="1 of 25 images skipped"):
        by_hand = newnet_tf.evaluate(
            unknown, dataset.split("all"), preprocess=small_network.PREPROCESS
        )
    np.testing.assert_array_equal(by_hand.topk, result.topk)
    with pytest.raises(ValueError, match="`split` and `save_results` must come with a dataset"):
        newnet_tf.evaluate(loaded, dataset.split("all"), split="all")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.keras", "--data", "DATA"], "none.keras"),
        (["none.tflite", "--data", "DATA"], "none.tflite"),
        (["DATA", "--data", "DATA"], "must be the folder of a run with one .keras file"),
        (["FORMS/small.keras", "--data", "nowhere"], "imagenet_v2"),
        (["FORMS/small.keras", "--data", "DATA", "--split", "dev"], "'validation', 'all'"),
        (["FORMS/small.keras", "--data", "DATA", "--max-samples", "0"], "--max-samples"),
        (["newnet_small", "--data", "DATA"], "newnet_small must be trained"),
    ],
)
def test_mistakes_end_in_one_clear_line(arguments, words, forms, data, capsys):
    places = {"DATA": str(data), "FORMS": str(forms)}
    for short, path in places.items():
        arguments = [argument.replace(short, path) for argument in arguments]
    assert main(["evaluate", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "newnet: error: " in captured.err
    assert words in captured.err
    assert "Received: " in captured.err


def test_labels_that_do_not_fit_are_refused(forms, tmp_path):
    labels = tmp_path / "two.txt"
    labels.write_text("one\ntwo\n")
    for form in FORMS:
        with pytest.raises(ValueError, match=r"must name 10 classes.*Received: 2"):
            inference.load_predictor(forms / form, class_names=labels)


def test_files_next_to_a_model_are_not_read(forms, tmp_path):
    for form in ("small.keras", "small.fp32.tflite"):
        (tmp_path / form).write_bytes((forms / form).read_bytes())
    for name in ("small.json", "small.fp32.json", "small.labels.txt"):
        (tmp_path / name).write_text("one\ntwo\n")
    for form in ("small.keras", "small.fp32.tflite"):
        predictor = inference.load_predictor(tmp_path / form)
        assert predictor.class_names == NAMES
        assert predictor.preprocess == small_network.PREPROCESS


def test_a_file_without_whole_metadata_is_refused(forms, tmp_path):
    file = tmp_path / "mobilenet_v1_025.keras"  # the name says nothing
    small_network.network().save(file)
    message = r"preprocessing of mobilenet_v1_025 must be known: pass `preprocess_as`"
    with pytest.raises(ValueError, match=message):
        inference.load_predictor(file)
    known = {"preprocess": small_network.PREPROCESS}
    assert inference.load_predictor(file, **known).class_names is None
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("newnet_tf.json", "{}")
    with pytest.raises(ValueError, match=r"mobilenet_v1_025\.keras must be .* whole metadata"):
        inference.load_predictor(file, **known)
