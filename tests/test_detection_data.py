"""Datasets of boxes: VOC, COCO, tfds; what is left out and named, what is refused."""

import json

import numpy as np
import pytest
from box_files import (
    BOX,
    SIZE,
    labels_of,
    only_label,
    voc_xml,
    write_coco,
    write_image,
    write_voc,
    write_yolo,
)
from PIL import Image

from newnet_tf import load_dataset
from newnet_tf.cli import main
from newnet_tf.data.boxes import (
    BoxChecker,
    join_labels,
    make_label,
    pad_labels,
    split_labels,
    summarize_remarks,
    turn_boxes,
)
from newnet_tf.data.datasets.base import DatasetError, list_samples, take
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.images import read_image


@pytest.fixture
def yolo_folder(tmp_path):
    return write_yolo(tmp_path)


@pytest.fixture
def coco_file(tmp_path):
    """A COCO file of one image with a box, a crowd, and boxes that are left out."""
    write_image(tmp_path / "a.jpg")
    return write_coco(
        tmp_path / "boxes.json",
        [{"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}],
        [
            (1, 7, [10, 20, 30, 30], {}),
            (1, 3, [0, 0, 100, 100], {"iscrowd": 1}),  # clipped
            (1, 3, [90, 10, 5, 5], {}),  # outside
            (1, 3, [10, 10, 0, 5], {}),  # without area
            (1, 3, [10, 10, -5, 5], {}),  # reversed
            (1, 3, [10, 10], {}),
            (9, 3, [10, 10, 5, 5], {}),  # of no image
        ],
    )


def test_voc_folder_has_splits_difficult_boxes_and_edges_from_zero(tmp_path):
    boxes = [("dog", BOX, 0), ("cat", (0, 0, 80, 60), 1)]
    images = {"1": boxes, "2": [("cat", (5, 5, 20, 30), 0)], "3": [], "4": boxes}
    sets = {"train": ["1", "3"], "val": ["2"], "trainval": ["1", "2", "3"], "test": ["4"]}
    dataset = load_dataset(write_voc(tmp_path / "set", images, sets))
    assert dataset.task == "detection"
    assert dataset.class_names == ("cat", "dog")
    assert {name: split.size for name, split in dataset.splits.items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    train = labels_of(dataset, "train")
    np.testing.assert_array_equal(train["1.jpg"]["boxes"], [BOX, (0, 0, 80, 60)])
    assert train["1.jpg"]["classes"].tolist() == [1, 0]
    assert train["1.jpg"]["difficult"].tolist() == [False, True]
    assert train["3.jpg"]["boxes"].shape == (0, 4)
    assert dataset.skipped_summary() == ""
    assert dataset.split("train").class_counts(2).tolist() == [1, 1]


def test_voc_trainval_is_used_where_the_validation_images_have_no_list(tmp_path):
    images = {str(i): [("dog", BOX, 0)] for i in range(3)}
    dataset = load_dataset(write_voc(tmp_path, images, {"trainval": ["0", "1"], "test": ["2"]}))
    assert sorted(labels_of(dataset, "train")) == ["0.jpg", "1.jpg"]
    assert list(labels_of(dataset, "test")) == ["2.jpg"]


def test_images_without_splits_are_divided_by_class_in_any_layout(tmp_path):
    images = {str(i): [("dog" if i % 2 else "cat", BOX, 0)] for i in range(10)}
    dataset = load_dataset(write_voc(tmp_path / "around" / "set", images))
    assert dataset.split("train").class_counts(2).tolist() == [4, 4]
    assert dataset.split("validation").class_counts(2).tolist() == [1, 1]
    again = load_dataset(tmp_path)  # the only folder in it is taken
    assert labels_of(again, "validation").keys() == labels_of(dataset, "validation").keys()
    beside = tmp_path / "beside"
    for split, name in (("train", "a"), ("valid", "b")):
        write_image(beside / split / f"{name}.jpg")
        (beside / split / f"{name}.xml").write_text(voc_xml([("dog", BOX, 0)], None))
    dataset = load_dataset(beside)
    assert (dataset.split("train").size, dataset.split("validation").size) == (1, 1)


def test_missing_and_damaged_files_are_counted_and_named(tmp_path):
    root = write_voc(tmp_path, {n: [("dog", BOX, 0)] for n in "abcd"}, {"train": [*"abcde"]})
    (root / "JPEGImages" / "b.jpg").unlink()
    (root / "Annotations" / "c.xml").write_text("<annotation>")
    (root / "JPEGImages" / "d.jpg").write_bytes(b"nothing")
    dataset = load_dataset(root)
    reasons = {s.path.rpartition("/")[2]: s.reason for s in dataset.skipped}
    assert list(labels_of(dataset, "all")) == ["a.jpg"]
    assert "not there" in reasons["b.jpg"]
    assert "XML" in reasons["c.xml"]
    assert "Received: a file of no known format" in reasons["d.jpg"]
    assert "without its XML" in reasons["e.xml"]
    assert "4 files left out" in repr(dataset)


def test_coco_boxes_crowds_and_gaps_in_the_ids(coco_file):
    dataset = load_dataset(coco_file)
    label = only_label(dataset)
    assert dataset.class_names == ("dog", "cat")  # ids 3 and 7
    np.testing.assert_array_equal(label["boxes"], [BOX, (0, 0, 80, 60)])
    assert label["classes"].tolist() == [1, 0]
    assert label["crowd"].tolist() == [False, True]


def test_boxes_that_are_changed_or_left_out_are_counted_and_named(coco_file):
    dataset = load_dataset(coco_file)
    reasons = {remark.reason.partition(",")[0] for remark in dataset.remarks}
    assert reasons == {
        "partly outside of the image",
        "outside of the image",
        "without area",
        "with reversed corners",
        "without a `bbox` of four numbers",
        "of an image that the file does not list",
    }
    assert "1 box without area, left out (1 image: " in dataset.skipped_summary()


def test_coco_folder_finds_splits_and_the_images_of_each(tmp_path):
    for split in ("train2017", "val2017"):
        write_image(tmp_path / "images" / split / f"{split}.jpg")
        images = [{"id": 5, "file_name": f"{split}.jpg"}]
        file = tmp_path / "annotations" / f"instances_{split}.json"
        write_coco(file, images, [(5, 7, [10, 20, 30, 30], {})])
        write_coco(file.with_name(f"captions_{split}.json"), images, [])
    dataset = load_dataset(tmp_path)
    assert list(labels_of(dataset, "train")) == ["train2017.jpg"]
    assert list(labels_of(dataset, "validation")) == ["val2017.jpg"]
    alone = load_dataset(tmp_path / "annotations" / "instances_val2017.json")
    assert list(alone.splits) == ["validation"]
    exported = tmp_path / "exported"
    for split in ("train", "valid"):
        write_image(exported / split / "a.jpg")
        file = exported / split / "_annotations.coco.json"
        write_coco(file, [{"id": 0, "file_name": "a.jpg"}], [(0, 3, [1, 2, 3, 4], {})])
    assert list(load_dataset(exported).splits) == ["train", "validation"]


def test_images_dir_is_where_a_coco_file_finds_its_images(coco_file, tmp_path):
    write_image(tmp_path / "elsewhere" / "a.jpg", (80, 60))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(
        DatasetError, match=r"`images_dir` \(--images-dir\).*1 left out, as .*a.jpg"
    ):
        load_dataset(coco_file)
    dataset = load_dataset(coco_file, images_dir=tmp_path / "elsewhere")
    assert dataset.split("all").size == 1
    with pytest.raises(DatasetError, match="must come with a CSV or COCO file"):
        load_dataset(tmp_path, images_dir=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"annotations": [{"id": 4, "image_id": 1, "category_id": 8}]},
            "among 7: cat, 3: dog.*: 8",
        ),
        ({"categories": [{"id": 7, "name": "a"}, {"id": 8, "name": "a"}]}, "`name` of their own"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}] * 2}, "`id` of their own"),
        ({"annotations": [{"image_id": [1], "category_id": [3]}]}, r"Received: \[3\]"),
        ({"images": [{"id": [], "file_name": "a"}]}, "`id` of their own"),
        ({"images": None}, "lists of images, annotations, categories"),
    ],
    ids=["category", "names", "images", "type", "id", "keys"],
)
def test_coco_files_that_contradict_themselves_are_refused(coco_file, change, message):
    data = {**json.loads(coco_file.read_text()), **change}
    coco_file.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))
    with pytest.raises(DatasetError, match=f"boxes.json.*{message}"):
        load_dataset(coco_file)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_pixels_do(tmp_path, orientation):
    write_image(tmp_path / "a.png", orientation=orientation)
    seen = read_image(tmp_path / "a.png")
    (box,) = turn_boxes(np.array([BOX]), orientation, SIZE[1], SIZE[0])
    rows, columns = np.nonzero(seen[..., 0] > 200)
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    np.testing.assert_array_equal(box, expected)


def test_boxes_of_stored_pixels_are_turned_and_named(tmp_path):
    write_image(tmp_path / "a.jpg", orientation=6)
    for size, expected in (((80, 60), (10, 10, 40, 40)), ((60, 80), BOX)):
        image = {"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}
        file = write_coco(tmp_path / "b.json", [image], [(1, 7, [10, 20, 30, 30], {})])
        dataset = load_dataset(file)
        np.testing.assert_array_equal(only_label(dataset)["boxes"], [expected])
        assert ("turned with the image" in dataset.skipped_summary()) == (size == (80, 60))


def test_an_image_of_another_size_than_its_annotation_is_left_out_and_named(tmp_path):
    root = write_voc(tmp_path, {"a": [("dog", BOX, 0)]}, size=(160, 120))
    write_image(root / "JPEGImages" / "b.jpg")
    (root / "Annotations" / "b.xml").write_text(voc_xml([("dog", BOX, 0)], (0, 0)))  # unknown
    dataset = load_dataset(root)
    assert list(labels_of(dataset, "all")) == ["b.jpg"]
    assert "says (160 x 120, the file 80 x 60)" in dataset.skipped[0].reason


def test_a_folder_of_two_formats_is_refused_with_the_choices(yolo_folder):
    write_coco(yolo_folder / "x.json", [{"id": 1, "file_name": "a.jpg"}], [])
    with pytest.raises(
        DatasetError, match=r"in one format(.|\n)*COCO: .*x.json\n  YOLO: .*data.yaml"
    ):
        load_dataset(yolo_folder)
    assert load_dataset(yolo_folder / "data.yaml").classes == 2
    for year in ("VOC2007", "VOC2012"):
        write_voc(yolo_folder / "devkit" / year, {"1": [("dog", BOX, 0)]})
    with pytest.raises(DatasetError, match=r"VOC2007(.|\n)*VOC2012"):
        load_dataset(yolo_folder / "devkit")
    assert load_dataset(yolo_folder / "devkit" / "VOC2012").class_names == ("dog",)


def test_two_coco_files_of_no_known_split_are_refused(tmp_path):
    for name in ("first", "second"):
        write_coco(tmp_path / f"{name}.json", [], [])
    with pytest.raises(DatasetError, match="which their names say"):
        load_dataset(tmp_path)


def test_labels_are_padded_and_recovered():
    first = make_label([BOX, BOX], [1, 0], difficult=[True, False])
    second, third = make_label([], []), make_label([BOX] * 3, [1, 1, 1])
    padded = pad_labels([first, second])
    assert padded["boxes"].shape == (2, 2, 4)
    assert padded["classes"].tolist() == [[1, 0], [-1, -1]]
    joined = join_labels([padded, pad_labels([third])])
    assert joined["classes"].tolist() == [[1, 0, -1], [-1, -1, -1], [1, 1, 1]]
    for label, expected in zip(split_labels(joined), (first, second, third), strict=True):
        for name, rows in expected.items():
            np.testing.assert_array_equal(label[name], rows)


def test_rounding_is_not_counted_as_clipping_and_nan_is_named():
    checker = BoxChecker()
    boxes = [(-0.9, 0, 80.5, 60), (np.nan, 0, 5, 5), (0, 0, np.inf, 5)]
    label = checker.check("a.jpg", make_label(boxes, [0, 1, 2]), 60, 80)
    np.testing.assert_array_equal(label["boxes"], [(0, 0, 80, 60)])
    assert summarize_remarks(checker.remarks) == (
        "2 boxes with a coordinate that is no finite number, left out (1 image: a.jpg)"
    )


def test_batches_hold_padded_labels_and_samples_unpadded_ones(tmp_path):
    images = {str(i): [("dog", BOX, 0)] * i for i in range(4)}
    dataset = load_dataset(write_voc(tmp_path, images))
    split = dataset.split("all")
    (_, labels, names, positions), *_ = split.batches(3).as_numpy_iterator()
    assert labels["boxes"].shape == (3, 3, 4)
    assert (labels["classes"] >= 0).sum(axis=1).tolist() == [0, 1, 2]
    assert positions.tolist() == [0, 1, 2]
    shuffled = take(split, *list_samples(split, 4, seed=3))
    counts = {s.name[-5]: len(s.label["boxes"]) for s in iter_samples(shuffled)}
    assert counts == {"0": 0, "1": 1, "2": 2, "3": 3}
    assert names[0].endswith(b"0.jpg")


def test_table_of_classes_counts_boxes_and_images(tmp_path, capsys):
    images = {"1": [("dog", BOX, 0)] * 3, "2": [("cat", BOX, 0), ("dog", BOX, 0)]}
    write_voc(tmp_path / "set", images, {"train": ["1"], "val": ["2"]})
    assert main(["data", "info", "--data", str(tmp_path / "set")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Dataset('set', detection, 2 classes, train: 1 images, validation: 1 images)"
    assert [line.split() for line in lines[-2:]] == [
        ["cat", "0", "0", "1", "1"],
        ["dog", "3", "1", "1", "1"],
    ]
    assert main(["data", "info", "--data", str(tmp_path / "set"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"][1]["train boxes"] == 3


def test_show_draws_boxes_and_names_what_was_left_out(coco_file, tmp_path, capsys):
    output = tmp_path / "page.png"
    arguments = ["data", "show", "--data", str(coco_file), "--image-size", "80", "-o", str(output)]
    assert main(arguments) == 0
    assert "without area, left out" in capsys.readouterr().err
    with Image.open(output) as image:
        page = np.asarray(image)
    assert (page == (0x3C, 0xB4, 0x4B)).all(axis=-1).sum() > 100  # the color of class 1
    assert main([*arguments, "--augmentation", "ssd"]) == 0
    assert main([*arguments, "--augmentation", "mixup"]) == 1
    assert "must be among ssd, zoom_out" in capsys.readouterr().err


def test_shared_coco_file_has_its_known_counts(shared_data):
    coco = load_dataset(shared_data("coco"))
    label = coco.split("all").labels
    assert (coco.classes, coco.split("all").size) == (80, 80)
    assert ((label["classes"] >= 0).sum(), label["crowd"].sum()) == (705, 6)
    assert coco.skipped_summary() == ""


def test_set_of_tensorflow_datasets_has_boxes_in_pixels(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")

    class TinyBoxes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path

        def _info(self):
            kinds = tfds.features
            objects = {
                "bbox": kinds.BBoxFeature(),
                "is_difficult": np.bool_,
                "label": kinds.ClassLabel(names=["cat", "dog"]),
                "pose": kinds.ClassLabel(names=["left"]),
            }
            features = {
                "image": kinds.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "objects": kinds.Sequence(objects),
            }
            return tfds.core.DatasetInfo(builder=self, features=kinds.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._generate_examples(3), "validation": self._generate_examples(1)}

        def _generate_examples(self, count):
            for i in range(count):
                write_image(tmp_path / "a.jpg")
                box = tfds.features.BBox(xmin=0.125, ymin=1 / 3, xmax=0.5, ymax=5 / 6)
                one = {"bbox": box, "is_difficult": True, "label": 1, "pose": 0}
                yield i, {"image": str(tmp_path / "a.jpg"), "objects": [one] * i}

    TinyBoxes(data_dir=tmp_path / "sets").download_and_prepare()
    dataset = load_dataset("tfds:tiny_boxes", data_dir=tmp_path / "sets")
    assert (dataset.task, dataset.class_names) == ("detection", ("cat", "dog"))
    assert dataset.split("train").class_counts(2).tolist() == [0, 3]
    _, labels, _ = list_samples(dataset.split("train"), seed=0)
    counts = [len(label["classes"]) for label in split_labels(labels)]
    assert sorted(counts) == [0, 1, 2]
    (label,) = (label for label in split_labels(labels) if len(label["classes"]) == 1)
    np.testing.assert_allclose(label["boxes"], [BOX], atol=1e-4)
    assert (label["classes"].tolist(), label["difficult"].tolist()) == ([1], [True])
