"""ImageNet's class names, names of the best scores, folders of labeled images."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from newnet_tf.data.datasets.folder import labeled_files
from newnet_tf.data.images import ImageError
from newnet_tf.data.labels import decode_predictions, imagenet_labels


def test_table_has_imagenets_classes():
    labels = imagenet_labels()
    wnids = [label.wnid for label in labels]
    assert len(wnids) == len(set(wnids)) == 1000
    assert wnids == sorted(wnids)
    assert labels[0] == ("n01440764", "tench")
    assert labels[281] == ("n02123045", "tabby")
    assert labels[285] == ("n02124075", "Egyptian_cat")
    assert labels[999] == ("n15075141", "toilet_tissue")
    assert not [label.name for label in labels if not label.name or " " in label.name]


def test_two_names_occur_twice():
    names = [label.name for label in imagenet_labels()]
    assert {n for n in names if names.count(n) > 1} == {"crane", "maillot"}


def test_notice_names_the_sources():
    notice = (Path(__file__).parents[1] / "NOTICE").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in notice
    assert "imagenet_labels.csv" in notice


@pytest.fixture(scope="module")
def scores():
    scores = np.zeros((2, 1000), np.float32)
    scores[0, [281, 285, 7]] = 0.5, 0.3, 0.1
    scores[1, [1, 999]] = -1, 2
    return scores


def test_decode_predictions_as_keras_applications(scores):
    first, second = decode_predictions(scores, top=3)
    assert first == [
        ("n02123045", "tabby", 0.5),
        ("n02124075", "Egyptian_cat", pytest.approx(0.3)),
        ("n01514668", "cock", pytest.approx(0.1)),
    ]
    assert second[0] == ("n15075141", "toilet_tissue", 2.0)
    assert second[1][:2] == ("n01440764", "tench")  # equal scores: the first class first
    assert [len(row) for row in decode_predictions(scores)] == [5, 5]
    assert decode_predictions(scores[:0]) == []


def test_decode_predictions_of_own_classes():
    found = decode_predictions(np.array([[0.2, 0.7, 0.1]]), class_names=["ant", "bee", "cat"])
    assert found == [[("bee", "bee", 0.7), ("ant", "ant", 0.2), ("cat", "cat", 0.1)]]


@pytest.mark.parametrize("shape", [(1000,), (1, 999), (1, 1, 1000)])
def test_decode_predictions_needs_a_batch_of_all_classes(shape):
    with pytest.raises(ValueError, match=r"\(n, 1000\).*Received: shape="):
        decode_predictions(np.zeros(shape))


def test_decode_predictions_needs_a_name_for_each_class():
    with pytest.raises(ValueError, match=r"\(n, 2\).*your 2 classes.*Received: shape=\(1, 3\)"):
        decode_predictions(np.zeros((1, 3)), class_names=["ant", "bee"])


@pytest.mark.parametrize("top", [0, -1, 2.5, True])
def test_decode_predictions_needs_a_positive_top(scores, top):
    with pytest.raises(ValueError, match="Received: top="):
        decode_predictions(scores, top=top)


def test_decode_predictions_raises_for_nan(scores):
    with pytest.raises(ValueError, match="Received: NaN"):
        decode_predictions(np.where(scores == 2, np.nan, scores))


def test_import_loads_the_standard_library_alone():
    code = (
        "import sys, newnet_tf.data.labels\n"
        "found = {'numpy', 'PIL', 'keras', 'tensorflow'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_subfolders_are_classes(tmp_path):
    touch(
        tmp_path, "rose/b.jpg", "rose/deep/a.png", "daisy/c.jpg", ".cache/d.jpg", "rose/notes.txt"
    )
    paths, labels, names = labeled_files(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
        "daisy/c.jpg",
        "rose/b.jpg",
        "rose/deep/a.png",
    ]
    assert labels == [0, 1, 1]
    assert names == ["daisy", "rose"]


def test_flat_imagenet_folder(tmp_path):
    touch(tmp_path, "n02123045_tabby.JPEG", "n01440764_tench.JPEG", "n02124075_x.JPEG")
    paths, labels, names = labeled_files(tmp_path)
    assert [p.name[:9] for p in paths] == ["n01440764", "n02123045", "n02124075"]
    assert labels == [0, 281, 285]
    assert len(names) == 1000
    assert names[285] == "Egyptian_cat"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["a/x.jpg", "n02123045_tabby.jpg"], "n02123045_tabby.jpg' next to 'a'"),
        (["cat.jpg"], "cat.jpg"),
        (["n99999999_unknown.jpg"], "n99999999_unknown.jpg"),
        (["a/x.jpg", "b/notes.txt"], r"none in \['b'\]"),
        (["notes.txt"], "which has none"),
    ],
    ids=["mixed", "no wnid", "unknown wnid", "empty class", "no image"],
)
def test_other_layouts_are_clear_errors(tmp_path, files, words):
    touch(tmp_path, *files)
    with pytest.raises(ImageError, match=words):
        labeled_files(tmp_path)
    with pytest.raises(ImageError, match="existing folder"):
        labeled_files(tmp_path / "nowhere")


def test_real_samples_are_every_second_class(shared_data):
    paths, labels, names = labeled_files(shared_data("imagenet_samples"))
    assert labels == list(range(0, 1000, 2))
    for path, label in zip(paths, labels, strict=True):
        assert path.stem.split("_", 1)[1].lower() == names[label].lower()
