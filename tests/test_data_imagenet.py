"""ImageNet from ILSVRC's own tarballs to an accuracy, through tensorflow-datasets.

The tarballs are made here, in the format of the real ones (a tarball of tarballs by wnid; validation
images whose labels tensorflow-datasets knows by their number), of images that tell their class by
their gray, so that a prepared set that were mislabeled or out of order would be noticed.
"""

import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow_datasets", reason="needs newnet_tf[datasets]")

from newnet_tf.cli import main
from newnet_tf.data.augment.config import Augmentation
from newnet_tf.data.datasets.base import DatasetError
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.datasets.prepare import prepare
from newnet_tf.data.decode import SkippedImages
from newnet_tf.data.labels import imagenet_labels
from newnet_tf.data.pipeline import eval_input_pipeline, train_input_pipeline
from newnet_tf.models.config import PreprocessConfig

TRAINED, EACH, VALIDATED = (0, 281, 999), 8, 12
RECORD = PreprocessConfig(image_size=32, mean=(0, 0, 0), std=(1, 1, 1))


def gray_of(label):
    """A color that tells the class: two digits to the base 40."""
    return (20 + 5 * (label // 40), 20 + 5 * (label % 40), 128)


def image(label, number=0, mode="RGB"):
    file = io.BytesIO()
    canvas = Image.new("RGB", (60 + number, 50), gray_of(label)).convert(mode)
    canvas.save(file, "JPEG", quality=95)
    return file.getvalue()


def add(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def validation_labels():
    """Class numbers of the first validation images, as tensorflow-datasets lists them."""
    from tensorflow_datasets.datasets.imagenet2012 import imagenet_common

    text = Path(imagenet_common.__file__).with_name("validation_labels.txt").read_text()
    rank = {label.wnid: i for i, label in enumerate(imagenet_labels())}
    return [rank[wnid] for wnid in text.split()[:VALIDATED]]


@pytest.fixture(scope="module")
def tarballs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ilsvrc")
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as train:
        for label in TRAINED:
            wnid, inner = imagenet_labels()[label].wnid, io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for number in range(EACH):
                    add(archive, f"{wnid}_{number}.JPEG", image(label, number))
            add(train, f"{wnid}.tar", inner.getvalue())
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        for number, label in enumerate(validation_labels(), 1):
            mode = "CMYK" if number == 3 else "RGB"
            add(archive, f"ILSVRC2012_val_{number:08d}.JPEG", image(label, number, mode))
    return folder


@pytest.fixture(scope="module")
def prepared(tarballs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    splits, where = prepare("imagenet", tarballs, folder)
    assert splits == {"train": len(TRAINED) * EACH, "validation": VALIDATED}
    assert where.is_dir()
    return folder


def predicted(images):
    """A network that reads the class off the gray."""
    first, second = (np.round((images[:, 16, 16, c] * 255 - 20) / 5) for c in (0, 1))
    return (40 * first + second).astype(int)


def test_prepared_set_is_evaluated(prepared):
    source = load_dataset("imagenet", data_dir=prepared)
    assert source.classes == 1000
    assert source.class_names[281] == imagenet_labels()[281].name
    found = {}
    for images, labels, names in eval_input_pipeline(source, RECORD, batch_size=5, names=True):
        answers = predicted(images.numpy())
        np.testing.assert_array_equal(answers, labels)
        found |= dict(zip(names.numpy().tolist(), labels.numpy().tolist(), strict=True))
    expected = {
        f"ILSVRC2012_val_{n:08d}.JPEG".encode(): label
        for n, label in enumerate(validation_labels(), 1)
    }
    assert found == expected


def test_training_order_is_shuffled_and_reproducible(prepared):
    source = load_dataset("imagenet", data_dir=prepared)

    def epoch(**fields):
        batches = train_input_pipeline(source, RECORD, Augmentation(), batch_size=6, **fields)
        return [(x.numpy(), y.numpy().argmax(1)) for x, y in batches]

    first = epoch(seed=3)
    assert len(first) == 4
    assert sorted(np.concatenate([y for _, y in first])) == sorted(TRAINED * EACH)
    for images, labels in first:
        np.testing.assert_array_equal(predicted(images), labels)
    again, rest, other = epoch(seed=3), epoch(seed=3, start=2), epoch(seed=3, epoch=1)
    np.testing.assert_array_equal(first[0][0], again[0][0])
    np.testing.assert_array_equal(first[2][0], rest[0][0])
    assert len(rest) == 2
    assert any((a[1] != b[1]).any() for a, b in zip(first, other, strict=True))


def test_shards_are_disjoint(prepared):
    source = load_dataset("imagenet", data_dir=prepared)
    names = []
    for index in range(2):
        batches = eval_input_pipeline(source, RECORD, num_shards=2, shard_index=index, names=True)
        names += [name for _, _, called in batches for name in called.numpy()]
    assert len(names) == len(set(names)) == VALIDATED


def test_unreadable_record_is_named(prepared, monkeypatch):
    source, bad = load_dataset("imagenet", data_dir=prepared), SkippedImages()
    split = source.split("validation")
    batches = split.batches

    def spoiled(*args, **kwargs):
        import tensorflow as tf

        def spoil(keys, labels, names, positions):
            is_third = names == "ILSVRC2012_val_00000003.JPEG"
            return (
                tf.where(is_third, tf.strings.substr(keys, 0, 200), keys),
                labels,
                names,
                positions,
            )

        return batches(*args, **kwargs).map(spoil)

    object.__setattr__(split, "batches", spoiled)
    seen = sum(len(labels) for _, labels in eval_input_pipeline(source, RECORD, skipped=bad))
    assert seen == VALIDATED - 1
    assert [b.path for b in bad.images] == ["ILSVRC2012_val_00000003.JPEG"]


def test_missing_tarballs_are_listed(tmp_path, tarballs, capsys):
    assert main(["data", "prepare", "imagenet", "--data-dir", str(tmp_path)]) == 1
    text = capsys.readouterr().err
    assert "--manual-dir" in text
    assert re.search(r"ILSVRC2012_img_train.tar: MISSING, 147,897,477,120 bytes, from http", text)
    assert re.search(r"ILSVRC2012_img_val.tar: MISSING, 6,744,924,160 bytes, from http", text)
    one = tmp_path / "one"
    one.mkdir()
    (one / "ILSVRC2012_img_val.tar").write_bytes((tarballs / "ILSVRC2012_img_val.tar").read_bytes())
    with pytest.raises(
        DatasetError, match=r"--allow-missing\).*\n.*train.tar: MISSING.*\n.*val.tar: found"
    ):
        prepare("imagenet", one, tmp_path)
    arguments = [
        "data",
        "prepare",
        "imagenet",
        "--manual-dir",
        str(one),
        "--data-dir",
        str(tmp_path),
    ]
    assert main([*arguments, "--allow-missing"]) == 0
    out = capsys.readouterr().out
    assert "validation" in out
    assert "train" not in out.split("---")[-1]
    assert main(arguments) == 0  # prepared already: nothing is asked for


def test_wrong_tarballs_are_errors_before_work(tmp_path):
    with tarfile.open(tmp_path / "ILSVRC2012_img_train.tar", "w") as archive:
        add(archive, "cat.jpg", b"1")
    with pytest.raises(DatasetError, match=r"a tarball a class.*Received: 'cat.jpg' in it"):
        prepare("imagenet", tmp_path, tmp_path / "out", allow_missing=True)
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(b"x" * 2000)
    with pytest.raises(DatasetError, match="must be ILSVRC's archive"):
        prepare("imagenet", tmp_path, tmp_path / "out", allow_missing=True)


def test_unprepared_or_unknown_set_is_a_clear_error(tmp_path):
    with pytest.raises(DatasetError, match="newnet data prepare imagenet"):
        load_dataset("imagenet", data_dir=tmp_path)
    with pytest.raises(DatasetError, match="Received: 'no_such_set'"):
        load_dataset("tfds:no_such_set", data_dir=tmp_path)
    with pytest.raises(DatasetError, match="each with one of named classes"):
        load_dataset("tfds:wider_face", data_dir=tmp_path)
