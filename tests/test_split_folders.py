"""Folders of splits are recognized by any usual name; what might be either is refused and shown."""

import pytest

from newnet_tf.data.datasets.folder import folder_layout, labeled_files
from newnet_tf.data.datasets.split_names import name_splits, split_of
from newnet_tf.data.images import ImageError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def classes_in(root, *folders):
    return touch(root, *(f"{folder}/{name}/1.jpg" for folder in folders for name in "xyz"))


def found(root):
    layout = folder_layout(root)
    splits = {split: path.relative_to(root).as_posix() for split, path in layout.splits.items()}
    return splits, layout.root.relative_to(root).as_posix()


@pytest.mark.parametrize(
    ("first", "second", "splits"),
    [
        ("Training", "Testing", ("train", "test")),
        ("Train", "Test", ("train", "test")),
        ("TRAIN", "TEST", ("train", "test")),
        ("seg_train", "seg_test", ("train", "test")),
        ("train", "eval", ("train", "validation")),
        ("train", "dev", ("train", "validation")),
        ("training_set", "validation-set", ("train", "validation")),
        ("train2017", "val2017", ("train", "validation")),
        ("TrainImages", "ValidImages", ("train", "validation")),
        ("train", "holdout", ("train", "validation")),
        ("asl_alphabet_train", "asl_alphabet_test", ("train", "test")),
    ],
)
def test_splits_are_recognized_by_name(tmp_path, first, second, splits):
    classes_in(tmp_path, first, second)
    assert found(tmp_path) == (dict(zip(splits, (first, second), strict=True)), ".")


def test_validation_and_test_without_training_are_splits_too(tmp_path):
    classes_in(tmp_path, "val", "test")
    assert found(tmp_path)[0] == {"validation": "val", "test": "test"}


def test_of_two_validation_names_the_later_one_is_the_test_split(tmp_path):
    classes_in(tmp_path, "train", "valid", "holdout")
    expected = {"train": "train", "validation": "valid", "test": "holdout"}
    assert found(tmp_path)[0] == expected


@pytest.mark.parametrize("wrapper", ["photos", "photos/photos"])
def test_a_folder_around_the_data_is_looked_into(tmp_path, wrapper):
    classes_in(tmp_path, f"{wrapper}/train", f"{wrapper}/test")
    touch(tmp_path, "__MACOSX/photos/._train", ".DS_Store")
    splits, _ = found(tmp_path)
    assert splits == {"train": f"{wrapper}/train", "test": f"{wrapper}/test"}


def test_one_split_alone_is_that_split(tmp_path):
    classes_in(tmp_path / "a", "train")
    assert found(tmp_path / "a") == ({}, "train")  # to be divided as any folder of classes
    classes_in(tmp_path / "b", "Test")
    assert found(tmp_path / "b")[0] == {"test": "Test"}


def test_unlabeled_test_images_beside_the_training_split_are_left_out(tmp_path):
    touch(classes_in(tmp_path, "train"), "test/1.jpg", "test/2.jpg")
    layout = folder_layout(tmp_path)
    assert (layout.splits, layout.root.name) == ({}, "train")
    assert [(s.path, s.reason) for s in layout.skipped] == [
        (str(tmp_path / "test"), "a folder beside the splits")
    ]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["batch1", "batch2"], "all|whose names say which.*batch1/: x/ y/ z/"),
        (["train", "val", "valid"], "one folder must hold the validation split.*val, valid"),
        (["test", "others"], "whose names say which"),
    ],
)
def test_what_is_neither_classes_nor_named_splits_is_refused(tmp_path, folders, words):
    classes_in(tmp_path, *folders)
    with pytest.raises(ImageError, match=f"(?s){words}"):
        folder_layout(tmp_path)


def test_splits_without_class_folders_are_refused(tmp_path):
    touch(tmp_path, "train/1.jpg", "test/1.jpg")
    with pytest.raises(ImageError, match="splits of class folders"):
        folder_layout(tmp_path)


def test_classes_stay_classes(tmp_path):
    touch(tmp_path, "train/1.jpg", "bus/1.jpg", "car/deep/1.jpg")  # a train is a vehicle
    assert labeled_files(tmp_path)[2] == ["bus", "car", "train"]
    touch(tmp_path / "b", "a/one/1.jpg", "a/two/1.jpg", "b/three/1.jpg", "b/four/1.jpg")
    assert labeled_files(tmp_path / "b")[2] == ["a", "b"]


def test_images_of_one_split_are_asked_for_where_labels_alone_are_read(tmp_path):
    classes_in(tmp_path, "train", "test")
    with pytest.raises(ImageError, match=r"name one of its splits \(train, test\)"):
        labeled_files(tmp_path)


def test_names_of_splits():
    assert split_of("Testing") == "test"
    assert [split_of(name) for name in ("tulips", "test_train", "2017", "contest")] == [None] * 4
    assert name_splits(["imgs_train", "imgs_rest"]) == {"imgs_train": "train"}
