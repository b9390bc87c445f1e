"""Boxes in YOLO folders and CSV files: values, what is refused."""

import numpy as np
import pytest
from box_files import (
    BOX,
    labels_of,
    write_image,
    write_yolo,
)

from newnet_tf import load_dataset
from newnet_tf.data.datasets.base import DatasetError
from newnet_tf.data.datasets.detection.yolo import read_yaml


@pytest.fixture
def yolo_folder(tmp_path):
    return write_yolo(tmp_path)


def test_yolo_folder_has_boxes_in_pixels_and_polygons_as_boxes(yolo_folder):
    dataset = load_dataset(yolo_folder)
    assert dataset.class_names == ("cat", "do#g")
    train = labels_of(dataset, "train")
    np.testing.assert_allclose(train["a.jpg"]["boxes"], [BOX, (0, 0, 40, 30)], atol=1e-3)
    assert train["a.jpg"]["classes"].tolist() == [1, 0]
    assert len(train["b.jpg"]["boxes"]) == 0
    by_file = load_dataset(yolo_folder / "data.yaml")
    assert labels_of(by_file, "validation").keys() == {"c.jpg"}


def test_yolo_lists_and_paths_of_exports_are_found(yolo_folder):
    lines = ["./images/train/a.jpg", "images/train/gone.jpg"]
    (yolo_folder / "train.txt").write_text("\n".join(lines))
    (yolo_folder / "data.yaml").write_text(
        'names: ["cat",\n  "dog, big"]\ntrain: train.txt\nval: ../images/val\n'
    )
    dataset = load_dataset(yolo_folder)
    assert dataset.class_names == ("cat", "dog, big")
    assert labels_of(dataset, "train").keys() == {"a.jpg"}
    assert "gone.jpg" in dataset.skipped[0].path


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "a.txt, line 1: a class must be among 0 to 1.*Received: 2"),
        ("0 40 30 20 20", "must be fractions of the image"),
        ("0 0.5 0.5 0.1", "class, x, y, width, height"),
        ("cat 0.5 0.5 0.1 0.1", "class, x, y, width, height"),
    ],
)
def test_yolo_lines_that_are_no_boxes_are_refused(yolo_folder, line, message):
    (yolo_folder / "labels" / "train" / "a.txt").write_text(line)
    with pytest.raises(DatasetError, match=message):
        load_dataset(yolo_folder)


def test_yolo_without_names_is_asked_for(yolo_folder):
    (yolo_folder / "data.yaml").unlink()
    with pytest.raises(DatasetError, match=r"must have a file data.yaml with the names"):
        load_dataset(yolo_folder)


def test_yaml_subset_has_lists_mappings_and_names_other_lines(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a:\n- 1\n- 'x y'\nb: {0: cat, 1: dog}\nc: ~\n---\nd:\n  k: v\n")
    expected = {"a": ["1", "x y"], "b": {"0": "cat", "1": "dog"}, "c": "", "d": {"k": "v"}}
    assert read_yaml(file) == expected
    file.write_text("names: [a]\nnonsense\n")
    with pytest.raises(DatasetError, match=r"a.yaml, line 2: a line must be"):
        read_yaml(file)


@pytest.mark.parametrize(
    "lines",
    [
        ["path,x1,y1,x2,y2,label", "a.jpg,10,20,40,50,cat", "a.jpg,0,0,8,8,dog", "b.jpg,,,,,"],
        [
            "filename;width;height;class;xmin;ymin;xmax;ymax",
            "a.jpg;80;60;cat;10;20;40;50",
            "a.jpg;80;60;dog;0;0;8;8",
            "b.jpg;80;60;;;;;",
        ],
        ["a.jpg,10,20,40,50,cat", "a.jpg,0,0,8,8,dog", "b.jpg,,,,,"],
        [
            "ImageID,XMin,XMax,YMin,YMax,LabelName,class",
            "a.jpg,0.125,0.5,0.3333333,0.8333333,m,cat",
            "a.jpg,0,0.1,0,0.1333333,n,dog",
            "b.jpg,,,,,,",
        ],
    ],
    ids=["path", "filename", "no_header", "fractions"],
)
def test_csv_of_boxes_under_usual_names_of_columns(tmp_path, lines):
    for name in "ab":
        write_image(tmp_path / f"{name}.jpg")
    file = tmp_path / "boxes.csv"
    file.write_text("\n".join(lines))
    dataset = load_dataset(file)
    assert (dataset.task, dataset.class_names) == ("detection", ("cat", "dog"))
    labels = labels_of(dataset, "all")
    np.testing.assert_allclose(labels["a.jpg"]["boxes"], [BOX, (0, 0, 8, 8)], atol=1e-4)
    assert labels["a.jpg"]["classes"].tolist() == [0, 1]
    assert len(labels["b.jpg"]["boxes"]) == 0


def test_csv_splits_of_boxes_and_what_is_refused(tmp_path):
    for name in "ab":
        write_image(tmp_path / "pics" / f"{name}.jpg")
    file, header = tmp_path / "t.csv", "path,x1,y1,x2,y2,label,split"
    file.write_text(f"{header}\na.jpg,1,2,3,4,cat,train\nb.jpg,1,2,3,4,cat,val\n")
    dataset = load_dataset(file, images_dir=tmp_path / "pics")
    assert [split.size for split in dataset.splits.values()] == [1, 1]
    for line, message in (
        ("a.jpg,1,2,3,4,cat,test", "line 4: all boxes of an image must be in one split"),
        ("a.jpg,1,2,3,x,cat,train", "line 4: corners must be numbers"),
        ("a.jpg,1,2,3,4,,train", "line 4: a box must have a label"),
        ("c.jpg,1,2,3,4,cat,sometimes", "line 4: a split must be"),
    ):
        file.write_text(f"{header}\na.jpg,1,2,3,4,cat,train\nb.jpg,1,2,3,4,cat,val\n{line}\n")
        with pytest.raises(DatasetError, match=message):
            load_dataset(file, images_dir=tmp_path / "pics")
    file.write_text("path,x,y,w,h,label\na.jpg,1,2,3,4,cat\na.jpg,5,6,7,8,cat\n")
    with pytest.raises(DatasetError, match="must have the columns x1, y1, x2, y2"):
        load_dataset(file)


def test_csv_of_classification_stays_classification(tmp_path):
    for name in "abcd":
        write_image(tmp_path / f"{name}.jpg")
    file = tmp_path / "t.csv"
    for header, cells in (
        ("path,label", ("cat", "dog")),
        ("path,x,y,w,h,label", ("1,2,3,4,cat", "1,2,3,4,dog")),
        ("path,left,top,right,bottom", ("1,0,0,0", "0,0,1,0")),
    ):
        rows = [f"{name}.jpg,{cells[i % 2]}" for i, name in enumerate("abcd")]
        file.write_text("\n".join([header, *rows]))
        dataset = load_dataset(file)
        assert dataset.task == "classification"
        assert dataset.split("all").labels.ndim == 1
