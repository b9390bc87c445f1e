"""Folders, tarballs and lists as datasets: images and labels, their order, shards."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from newnet_tf.data.datasets.base import DatasetError, Split, memory_split
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.datasets.splitting import stratified_split
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.images import read_image
from newnet_tf.data.pipeline import eval_input_pipeline
from newnet_tf.models.config import PreprocessConfig

COLORS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (210, 30, 20)}


def encoded(color, size=(40, 30), kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind, quality=95)
    return file.getvalue()


def write_folder(root, counts):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number:02d}.jpg").write_bytes(encoded(COLORS[name]))
    return root


def write_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def taken(split: Split, batch_size=4, **options):
    """(labels, names, positions) of all batches, one after the other."""
    columns = list(zip(*split.batches(batch_size, **options).as_numpy_iterator(), strict=True))[1:]
    return [np.concatenate(column) for column in columns] if columns else [[], [], []]


def colors_match(dataset, split):
    """Whether each image has its class's color."""
    record = PreprocessConfig(image_size=8, crop_pct=1.0, mean=(0, 0, 0), std=(1, 1, 1))
    expected = np.array([COLORS[name] for name in dataset.class_names]) / 255
    seen = 0
    for images, labels in eval_input_pipeline(dataset, record, split=split, batch_size=5):
        middles = images.numpy()[:, 4, 4]
        np.testing.assert_allclose(middles, expected[labels.numpy()], atol=0.03)
        seen += len(middles)
    assert seen == dataset.split(split).size
    return True


def test_folder_is_divided_by_class_and_seed(tmp_path):
    root = write_folder(tmp_path / "toys", {"red": 10, "green": 5, "blue": 1})
    dataset = load_dataset(root, validation_split=0.2, seed=3)
    assert dataset.name == "toys"
    assert dataset.class_names == ("blue", "green", "red")
    sizes = {name: split.size for name, split in dataset.splits.items()}
    assert sizes == {"train": 13, "validation": 3, "all": 16}
    labels, names, _ = taken(dataset.split("validation"))
    assert sorted(labels) == [1, 2, 2]
    assert set(names) | set(taken(dataset.split("train"))[1]) == set(taken(dataset.split("all"))[1])
    again = load_dataset(root, validation_split=0.2, seed=3)
    np.testing.assert_array_equal(taken(again.split("validation"))[1], names)
    other = [taken(load_dataset(root, seed=s).split("validation"))[1].tolist() for s in range(6)]
    assert len({tuple(o) for o in other}) > 1
    assert colors_match(dataset, "all")
    assert repr(dataset) == (
        "Dataset('toys', 3 classes, train: 13 images, validation: 3 images, all: 16 images)"
    )
    assert dataset.task == "classification"


def test_folder_with_splits_of_its_own_keeps_them(tmp_path):
    write_folder(tmp_path / "train", {"red": 4, "blue": 3})
    write_folder(tmp_path / "val", {"red": 2, "blue": 2})
    dataset = load_dataset(tmp_path)
    assert {n: s.size for n, s in dataset.splits.items()} == {"train": 7, "validation": 4}
    assert dataset.split() is dataset.split("validation")
    assert colors_match(dataset, "validation")
    (tmp_path / "val" / "red").rename(tmp_path / "val" / "green")
    with pytest.raises(ValueError, match=r"val must hold the classes .*Received: \['green'\]"):
        load_dataset(tmp_path)


def test_tarball_of_class_folders_is_read(tmp_path):
    members = {"toys/readme.txt": b"hello", "toys/train/red/.x.jpg": b"hidden"}
    for split, count in (("train", 3), ("test", 2)):
        for name, color in COLORS.items():
            for number in range(count):
                members[f"toys/{split}/{name}/{number}.jpg"] = encoded(color)
    dataset = load_dataset(write_tar(tmp_path / "toys.tar.gz", members))
    assert dataset.class_names == tuple(COLORS)
    assert {n: s.size for n, s in dataset.splits.items()} == {"train": 9, "test": 6}
    assert colors_match(dataset, "train")
    assert colors_match(dataset, None)
    assert taken(dataset.split("test"))[1][0] == b"toys.tar.gz:toys/test/blue/0.jpg"


def test_tarball_of_usual_names_and_of_images_by_content_is_read(tmp_path):
    members = {"__MACOSX/Training/red/._0": b"1", "toys/Training/red/notes.md": b"hello"}
    for split in ("Training", "Testing"):
        members |= {f"toys/{split}/{name}/0": encoded(color) for name, color in COLORS.items()}
    dataset = load_dataset(write_tar(tmp_path / "toys.tgz", members))
    assert {n: s.size for n, s in dataset.splits.items()} == {"train": 3, "test": 3}
    assert colors_match(dataset, "train")


def test_file_names_of_any_bytes_are_read(tmp_path):
    root = write_folder(tmp_path / "toys", {"red": 3, "blue": 2})
    os.rename(root / "red" / "00.jpg", os.path.join(os.fsencode(root / "red"), b"caf\xe9.jpg"))
    os.rename(root / "blue", os.path.join(os.fsencode(root), b"bl\xfc"))
    dataset = load_dataset(root)
    assert dataset.class_names == ("bl\\xfc", "red")
    labels = taken(dataset.split("all"))[0].tolist()
    record = PreprocessConfig(image_size=8, crop_pct=1.0, mean=(0, 0, 0), std=(1, 1, 1))
    batches = list(eval_input_pipeline(dataset, record, split="all", batch_size=5))
    assert [label for _, batch in batches for label in batch.numpy().tolist()] == labels
    names = [sample.name for sample in iter_samples(dataset.split("all"))]
    assert sum(name.endswith("caf\\xe9.jpg") for name in names) == 1
    shapes = [read_image(sample.source).shape for sample in iter_samples(dataset.split("all"))]
    assert set(shapes) == {(30, 40, 3)}


def records(labels, head):
    """CIFAR's binary records: each image of one color."""
    rows = []
    for label in labels:
        planes = np.repeat(np.array(list(COLORS.values())[label], np.uint8), 32 * 32)
        rows.append(np.concatenate([np.array([7] * (head - 1) + [label], np.uint8), planes]))
    return np.concatenate(rows).tobytes()


@pytest.mark.parametrize(
    ("names", "head", "files"),
    [
        ("batches.meta.txt", 1, {"data_batch_1.bin": [0, 1], "data_batch_2.bin": [2],
                                 "test_batch.bin": [1, 2]}),
        ("fine_label_names.txt", 2, {"train.bin": [0, 1, 2], "test.bin": [1, 2]}),
    ],
    ids=["cifar10", "cifar100"],
)  # fmt: skip
def test_cifars_binary_version_is_read(tmp_path, names, head, files):
    members = {f"cifar/{names}": "\n".join(COLORS).encode() + b"\n\n"}
    members |= {f"cifar/{name}": records(labels, head) for name, labels in files.items()}
    dataset = load_dataset(write_tar(tmp_path / "cifar.tar.gz", members))
    assert dataset.class_names == tuple(COLORS)
    assert taken(dataset.split("train"))[0].tolist() == [0, 1, 2]
    assert taken(dataset.split("test"))[0].tolist() == [1, 2]
    assert colors_match(dataset, "train")
    members["cifar/" + next(iter(files))] += b"x"
    with pytest.raises(DatasetError, match=r"records of \d+ bytes. Received"):
        load_dataset(write_tar(tmp_path / "longer.tar.gz", members))


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was run')",))


@pytest.mark.parametrize("name", ["cifar-10-batches-py/data_batch_1", "cifar-100-python/train"])
def test_pickles_are_errors_and_not_run(tmp_path, name):
    path = write_tar(tmp_path / "python.tar.gz", {name: pickle.dumps(Bomb())})
    with pytest.raises(DatasetError, match=r"cifar-10-binary.tar.gz.*Received: the python version"):
        load_dataset(path)


def test_data_that_cannot_be_opened_is_a_clear_error(tmp_path):
    (tmp_path / "cut.tar.gz").write_bytes(
        write_tar(tmp_path / "a.tgz", {"x": b"1" * 999}).read_bytes()[:-30]
    )
    write_tar(tmp_path / "flat.tar.gz", {"a.jpg": b"1"})
    for data, message in {
        "imagnet": "must be among: imagenet",
        tmp_path / "none.tar.gz": "existing archive",
        tmp_path / "cut.tar.gz": "must be whole",
        tmp_path / "flat.tar.gz": "<class>/<image>.*Received: a.jpg",
    }.items():
        with pytest.raises(DatasetError, match=message):
            load_dataset(data)


@pytest.fixture(scope="module")
def hundred():
    pixels = np.zeros((100, 4, 4, 3), np.uint8)
    return memory_split(pixels, np.arange(100) % 7, [f"image {i}" for i in range(100)])


def test_order_depends_on_the_seed_alone(hundred):
    labels, names, positions = taken(hundred)
    assert positions.tolist() == list(range(100))
    assert names[:2].tolist() == [b"image 0", b"image 1"]
    first, again, other = (taken(hundred, seed=s)[1].tolist() for s in (1, 1, 2))
    assert first == again != other
    assert sorted(first) == sorted(names.tolist())
    labels, names, _ = taken(hundred, seed=1)
    assert all(int(name.split()[1]) % 7 == label for name, label in zip(names, labels, strict=True))


def test_start_leaves_out_batches(hundred):
    whole, rest = (
        taken(hundred, batch_size=8, seed=5),
        taken(hundred, batch_size=8, seed=5, start=3),
    )
    for a, b in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(a[24:], b)


def test_shards_of_a_step_are_the_global_batch(hundred):
    """Step by step two workers have the images of one worker with the global batch."""
    alone = taken(hundred, batch_size=16, seed=9, even=True)[1].reshape(6, 16)
    two = [
        taken(hundred, batch_size=8, seed=9, even=True, num_shards=2, shard_index=i)[1]
        for i in range(2)
    ]
    for step, names in enumerate(alone):
        parts = np.concatenate([part.reshape(6, 8)[step] for part in two])
        assert set(parts) == set(names)
    assert hundred.steps(8, num_shards=2) == 6
    assert hundred.steps(8, num_shards=2, even=False) == 7
    uneven = [taken(hundred, batch_size=8, num_shards=3, shard_index=i)[1] for i in range(3)]
    assert sorted(map(len, uneven)) == [33, 33, 34]


def test_wrong_shards_and_splits_are_clear_errors(hundred):
    for wrong in ({"batch_size": 0}, {"num_shards": 2, "shard_index": 2}, {"start": -1}):
        with pytest.raises(ValueError, match=r"Received: batch_size="):
            hundred.batches(**{"batch_size": 4} | wrong)
    with pytest.raises(ValueError, match="between 0 and 1"):
        stratified_split([0, 1], 1.5, 0)
    with pytest.raises(DatasetError, match="at least one"):
        memory_split(tf.zeros((0, 4, 4, 3)), [], [])


@pytest.mark.slow
def test_cifar10_is_read_from_its_tarball(shared_data):
    dataset = load_dataset(shared_data("cifar10.tar.gz"))
    assert dataset.name == "cifar10"
    assert dataset.classes == 10
    assert {n: s.size for n, s in dataset.splits.items()} == {"train": 50_000, "test": 10_000}
    assert np.bincount(taken(dataset.split("test"), batch_size=1000)[0]).tolist() == [1000] * 10
