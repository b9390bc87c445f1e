"""Datasets of words: ICDAR's folders, COCO-Text; what is wrong is counted and named."""

import json
from pathlib import Path

import numpy as np
import pytest
from box_files import write_coco, write_image, write_voc

import newnet_tf
from newnet_tf.api.data_arguments import check_data, refuse_text
from newnet_tf.data.box_geometry import points_to_input, points_to_original
from newnet_tf.data.datasets.base import DatasetError, list_samples, take
from newnet_tf.data.datasets.factory import load_dataset
from newnet_tf.data.datasets.text.coco_text import is_coco_text
from newnet_tf.data.datasets.text.folder import find_text_format
from newnet_tf.data.datasets.text.icdar import icdar_dataset, read_words
from newnet_tf.data.host_loader import iter_samples
from newnet_tf.data.preprocess import resize_image
from newnet_tf.data.words import make_words, pad_words, split_words
from newnet_tf.models.config import PreprocessConfig

LINE = "10,20,40,20,40,30,10,30,EXIT"
CORNERS = [[10, 20], [40, 20], [40, 30], [10, 30]]


def write_icdar(root, texts, images="images", truth="gt", name="gt_{}.txt"):
    """Writes a folder of images of 80 x 60 pixels with {stem: lines}."""
    (root / truth).mkdir(parents=True, exist_ok=True)
    for stem, text in texts.items():
        write_image(root / images / f"{stem}.jpg")
        (root / truth / name.format(stem)).write_text(text, "utf-8-sig")
    return root


def labels_of(split):
    return {Path(sample.name).stem: sample.label for sample in iter_samples(split)}


def test_an_icdar_folder_gives_words_with_text(tmp_path):
    write_icdar(
        tmp_path,
        {
            "img_1": f"{LINE}\r\n0,0,5,0,5,5,0,5,###\r\n",
            "img_2": "",
            "img_3": "1,1,9,1,9,5,1,5,a,b",
        },
    )
    dataset = load_dataset(tmp_path, validation_split=0.34)
    assert (dataset.task, dataset.class_names) == ("text_detection", ("text",))
    assert {name: split.size for name, split in dataset.splits.items()} == {
        "train": 2, "validation": 1, "all": 3,
    }  # fmt: skip
    labels = labels_of(dataset.split("all"))
    assert labels["img_1"]["polygons"].tolist()[0] == CORNERS
    assert labels["img_1"]["ignore"].tolist() == [False, True]
    assert labels["img_1"]["text"] == ("EXIT", "###")
    assert labels["img_2"]["polygons"].shape == (0, 4, 2)
    assert labels["img_3"]["text"] == ("a,b",)
    assert dataset.class_table()[0]["all words"] == 2
    assert dataset.class_table()[0]["all images"] == 2
    assert dataset.split("all").class_counts(1).tolist() == [2]
    assert dataset.skipped_summary() == ""


@pytest.mark.parametrize(
    ("places", "splits"),
    [
        ([("ch4_test_images", "Challenge4_Test_Task1_GT", "gt_{}.txt")], {"test"}),
        (
            [
                ("ch4_training_images", "ch4_training_localization_transcription_gt", "gt_{}.txt"),
                ("ch4_test_images", "Challenge4_Test_Task1_GT", "gt_{}.txt"),
            ],
            {"train", "test"},
        ),
        (
            [
                ("train_images", "train_gts", "{}.jpg.txt"),
                ("test_images", "test_gts", "{}.jpg.txt"),
            ],
            {"train", "test"},
        ),
        (
            [("train/images", "train/gt", "gt_{}.txt"), ("val/images", "val/gt", "gt_{}.txt")],
            {"train", "validation"},
        ),
        ([("", "", "{}.txt")], {"train", "validation", "all"}),
    ],
)
def test_known_layouts_are_recognized(tmp_path, places, splits):
    for number, (images, truth, name) in enumerate(places):
        stems = ["img_1", "img_2", "img_3"][: 3 - number]  # names of splits overlap, as ICDAR's do
        write_icdar(tmp_path, dict.fromkeys(stems, LINE), images, truth, name)
    dataset = load_dataset(tmp_path)
    assert set(dataset.splits) == splits
    sizes = [
        dataset.splits[name].size for name in splits if name in ("test", "validation", "train")
    ]
    if len(places) == 2:
        assert sorted(sizes) == [2, 3]
    assert all(
        len(label["text"]) == 1 for s in splits for label in labels_of(dataset.split(s)).values()
    )
    assert set(find_text_format(tmp_path).known_splits) == splits
    check_data(tmp_path, split=next(iter(splits)))
    with pytest.raises(ValueError, match="must be among"):
        check_data(tmp_path, split="holdout")


def test_what_is_wrong_is_counted_and_named(tmp_path):
    lines = [
        LINE,
        "not a word",
        "1,2,3,4,5,6,7",
        "10,10,10,10,10,10,10,10,dot",
        "100,70,120,70,120,80,100,80,outside",
        "60,40,90,40,90,50,60,50,partly",
        "40,20,10,20,10,30,40,30,counterclockwise",
    ]
    write_icdar(tmp_path, {"img_1": "\n".join(lines)})
    write_image(tmp_path / "images" / "img_2.jpg")
    (tmp_path / "gt" / "gt_img_3.txt").write_text(LINE)
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "gt" / "gt_broken.txt").write_text(LINE)
    dataset = load_dataset(tmp_path)
    reasons = {remark.reason.split(",")[0]: remark.count for remark in dataset.remarks}
    assert reasons == {
        "in a line that is not eight numbers and a text": 2,
        "without area": 1,
        "outside of the image": 1,
        "partly outside of the image": 1,
    }
    assert "2 words in a line that is not eight numbers" in dataset.skipped_summary()
    skipped = {Path(image.path).stem: image.reason for image in dataset.skipped}
    assert set(skipped) == {"img_2", "gt_img_3", "broken"}
    assert "without a text file" in skipped["img_2"]
    label = labels_of(dataset.split("all"))["img_1"]
    assert label["text"] == ("EXIT", "partly", "counterclockwise")
    assert label["polygons"][2].tolist() == [[40, 20], [40, 30], [10, 30], [10, 20]]
    assert read_words("1,2,3,4,5,6,7,nan,x\n1,2,3,4,5,6,7,8") == (
        [([(1, 2), (3, 4), (5, 6), (7, 8)], False, "")],
        1,
    )


def test_lists_divide_images_into_splits(tmp_path):
    write_icdar(tmp_path, {f"img_{i}": LINE for i in range(1, 5)})
    sets = {"train": ["img_3", "img_4.jpg"], "validation": ["img_1", "img_9"]}
    dataset = icdar_dataset(tmp_path, image_sets=sets)
    assert set(labels_of(dataset.split("train"))) == {"img_3", "img_4"}
    assert set(labels_of(dataset.split("validation"))) == {"img_1"}
    assert [image.path for image in dataset.skipped] == ["img_9"]
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "train.txt").write_text("img_2\nimg_3\n")
    (tmp_path / "ImageSets" / "val.txt").write_text("img_4\n")
    dataset = load_dataset(tmp_path)
    assert {name: set(labels_of(split)) for name, split in dataset.splits.items()} == {
        "train": {"img_2", "img_3"},
        "validation": {"img_4"},
    }
    with pytest.raises(DatasetError, match=r"'train' must name images.*Received: none"):
        icdar_dataset(tmp_path, image_sets={"train": []})


def test_folders_of_boxes_and_classes_are_not_taken_for_words(tmp_path):
    write_voc(tmp_path / "voc", {"a": [("cat", (1, 2, 20, 30), 0)]})
    write_coco(tmp_path / "coco" / "a.json", [], [])
    write_icdar(tmp_path / "yolo", {"a": "0 0.5 0.5 0.2 0.2"}, "images", "labels", "{}.txt")
    write_icdar(tmp_path / "notes", {"a": "one, two, three"}, "cats", "texts", "{}.txt")
    for name in ("voc", "coco", "yolo", "notes"):
        assert find_text_format(tmp_path / name) is None, name
    assert not is_coco_text(tmp_path / "coco" / "a.json")


def write_coco_text(path, images, annotations):
    data = {"cats": {}, "anns": annotations, "imgs": images, "imgToAnns": {}, "info": {}}
    path.write_text(json.dumps(data))
    return path


def image_entry(number, split="train", size=(80, 60)):
    return {
        "id": number,
        "file_name": f"{number}.jpg",
        "set": split,
        "width": size[0],
        "height": size[1],
    }


def test_coco_text_gives_polygons_rectangles_and_illegible_words(tmp_path):
    corners = [float(x) for corner in CORNERS for x in corner]
    octagon = [20, 10, 40, 10, 50, 20, 50, 30, 40, 40, 20, 40, 10, 30, 10, 20]
    legible = {"image_id": 1, "legibility": "legible", "utf8_string": "EXIT"}
    annotations = {
        "1": {**legible, "mask": corners, "bbox": [0, 0, 1, 1]},
        "2": {**legible, "polygon": octagon, "legibility": "illegible", "utf8_string": None},
        "3": {**legible, "bbox": [5.0, 6.0, 10.0, 4.0]},
        "4": {**legible, "mask": [1, 2]},
        "5": {**legible, "image_id": 99, "bbox": [1, 1, 4, 4]},
        "6": {**legible, "image_id": 2, "mask": corners},
    }
    images = {"1": image_entry(1), "2": image_entry(2, "val"), "3": image_entry(3)}
    file = write_coco_text(tmp_path / "cocotext.v2.json", images, annotations)
    for number in (1, 2, 3):
        write_image(tmp_path / "train2014" / f"{number}.jpg")
    for data in (file, tmp_path):
        dataset = load_dataset(data)
        assert {name: split.size for name, split in dataset.splits.items()} == {
            "train": 1, "validation": 1,
        }  # fmt: skip
    label = labels_of(dataset.split("train"))["1"]
    assert label["polygons"][0].tolist() == CORNERS
    assert label["polygons"][2].tolist() == [[5, 6], [15, 6], [15, 10], [5, 10]]
    assert label["ignore"].tolist() == [False, True, False]
    assert label["text"] == ("EXIT", "", "EXIT")
    (left, top), (right, bottom) = label["polygons"][1].min(0), label["polygons"][1].max(0)
    assert (left, top, right, bottom) == (10, 10, 50, 40)
    assert sorted((remark.count, remark.reason.split(",")[0]) for remark in dataset.remarks) == [
        (1, "of an image that the file does not list"),
        (1, "with another number of corners than four"),
        (1, "without corners"),
    ]


def test_words_turn_with_images_that_exif_turns(tmp_path):
    """The annotation's size is that of the stored image: its corners count there."""
    write_image(tmp_path / "1.jpg", orientation=6)
    legible = {"image_id": 1, "legibility": "legible", "mask": [x for c in CORNERS for x in c]}
    file = write_coco_text(tmp_path / "a.json", {"1": image_entry(1)}, {"1": legible})
    label = labels_of(load_dataset(file).split("all"))["1"]
    assert label["polygons"][0].tolist() == [[40, 10], [40, 40], [30, 40], [30, 10]]
    wrong = {"1": image_entry(1, size=(81, 60))}
    with pytest.raises(DatasetError, match="another size than its annotation"):
        load_dataset(write_coco_text(file, wrong, {"1": legible}))


def test_labels_keep_their_words_in_batches_and_samples(tmp_path):
    labels = [make_words([CORNERS, CORNERS], [True, False], ["a", "b"]), make_words([])]
    padded = pad_words(labels, 3)
    assert padded["polygons"].shape == (2, 3, 4, 2)
    assert padded["ignore"].tolist() == [[True, False, True], [True, True, True]]
    assert padded["counts"].tolist() == [2, 0]
    back = split_words({name: padded[name] for name in ("polygons", "ignore", "counts")})
    assert back[0]["text"] == ("", "")
    assert [split_words(padded)[i]["text"] for i in range(2)] == [("a", "b"), ()]
    split = load_dataset(write_icdar(tmp_path, {f"{i}": LINE * (i > 0) for i in range(3)})).split(
        "all"
    )
    keys, rows, names = list_samples(split, 2)
    part = take(split, keys, rows, names)
    assert [len(sample.label["text"]) for sample in iter_samples(part)] == [0, 1]


MODES = [
    PreprocessConfig(image_size=96, resize_mode="letterbox", interpolation="bilinear"),
    PreprocessConfig(image_size=96, resize_mode="fit", interpolation="bilinear"),
    PreprocessConfig(image_size=256, resize_mode="fit", magnification=1.5),
    PreprocessConfig(image_size=96, resize_mode="stretch"),
]


@pytest.mark.parametrize("preprocess", MODES, ids=lambda p: f"{p.resize_mode}_{p.image_size}")
@pytest.mark.parametrize("size", [(140, 200), (200, 130), (64, 64)])
def test_points_follow_the_pixels(preprocess, size):
    """A rectangle of the image is found in the model's input where the points are."""
    height, width = size
    corners = np.array([(0.25 * width, 0.5 * height), (0.75 * width, 0.875 * height)]).round()
    (left, top), (right, bottom) = corners.astype(int)
    image = np.zeros((*size, 3), np.uint8)
    image[top:bottom, left:right] = 200
    shown = resize_image(image, preprocess)[..., 0] / 200.0
    columns, rows = np.flatnonzero(shown.max(0) > 0.5), np.flatnonzero(shown.max(1) > 0.5)
    found = np.array([(columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)])
    expected = points_to_input(corners, size, preprocess)
    np.testing.assert_allclose(found, expected, atol=0.75)
    back = points_to_original(expected, size, preprocess, shown.shape)
    np.testing.assert_allclose(back, corners, atol=0.5)


def test_words_are_drawn_on_a_page(tmp_path):
    write_icdar(tmp_path, {f"img_{i}": LINE for i in range(4)})
    dataset = load_dataset(tmp_path)
    page, skipped = newnet_tf.show_data(dataset, image_size=40)
    assert not skipped
    assert page.width == 3 * (40 + 6) + 6  # the training images in a row
    assert np.asarray(page).std(axis=2).max() > 20
    with pytest.raises(ValueError, match=r"of text_detection must be none\. Received: 'ssd'"):
        newnet_tf.show_data(dataset, "ssd")


def test_commands_that_train_refuse_words_and_say_what_trains_on_them(tmp_path):
    write_icdar(tmp_path, {f"img_{i}": LINE for i in range(4)})
    message = r"text detectors are trained in Python.*docs/text\.md"
    with pytest.raises(ValueError, match=message):
        newnet_tf.train("lenet5", tmp_path, recipe="cifar", output_dir=tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        refuse_text(load_dataset(tmp_path))


def test_icdar2015_has_448_words_that_count(shared_data):
    dataset = load_dataset(shared_data("icdar2015"))
    labels = list(labels_of(dataset.split("all")).values())
    assert len(labels) == 100
    assert sum(int((~label["ignore"]).sum()) for label in labels) == 448
    assert not dataset.skipped
