"""`DetectionLoader`: batches whose targets lie where the boxes are, the same from any step."""

import io

import numpy as np
import pytest
from PIL import Image

from newnet_tf.data.boxes import make_label, pad_labels, split_labels
from newnet_tf.data.datasets.base import DETECTION, Dataset, memory_split
from newnet_tf.data.preprocess import preprocess_image
from newnet_tf.detection.box_coder import decode
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.drawing import draw_boxes, draw_predictions
from newnet_tf.detection.training.augment import BoxAugmentation
from newnet_tf.detection.training.loader import DetectionLoader
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.task import Prediction

SIZE = 64
CONFIG = DetectionConfig(classes=3, image_size=SIZE, feature_sizes=(8, 4, 2, 1))
PREPROCESS = PreprocessConfig(image_size=SIZE, resize_mode="stretch", interpolation="bilinear")
RESIZE = BoxAugmentation(zoom_out_prob=0, iou_crop_prob=0, hflip_prob=0, photometric_prob=0)


def scene(number):
    """Returns an image of 40 x 50 with a white rectangle, and its label."""
    random = np.random.default_rng(number)
    x, y = random.integers(0, (25, 18))
    image = np.full((40, 50, 3), 40, np.uint8)
    image[y : y + 20, x : x + 22] = 255
    return image, make_label([(x, y, x + 22, y + 20)], [number % 3])


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def dataset(train, test, damaged=()):
    """Returns a dataset of encoded images in memory; images of `damaged` numbers are no images."""
    splits = {}
    for name, numbers in (("train", train), ("validation", test)):
        images, labels = zip(*map(scene, numbers), strict=True)
        encoded = [b"x" if n in damaged else png(i) for n, i in zip(numbers, images, strict=True)]
        names = [f"{name}/{n}.png" for n in numbers]
        splits[name] = memory_split(encoded, pad_labels(labels), names)
    return Dataset("scenes", ("a", "b", "c"), splits, DETECTION)


@pytest.fixture(scope="module")
def scenes():
    return dataset(range(10), range(20, 23))


def loader(data, **arguments):
    return DetectionLoader(data, PREPROCESS, CONFIG, **{"batch_size": 4, **arguments})


def check_equal(batch, other):
    for first, second in zip(batch, other, strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        for name in first[1]:
            np.testing.assert_array_equal(first[1][name], second[1][name])


@pytest.mark.parametrize("augmentation", [RESIZE, None], ids=["resized", "augmented"])
def test_matched_targets_decode_to_the_rectangle(scenes, augmentation):
    found = 0
    for images, targets in loader(scenes, augmentation=augmentation).train(0):
        assert images.dtype == np.float32
        assert images.shape == (4, SIZE, SIZE, 3)
        assert targets["boxes"].shape == (4, CONFIG.anchor_count, 4)
        bright = images.mean(axis=-1) > 1.2
        for i, classes in enumerate(targets["classes"]):
            chosen = classes > 0
            if not chosen.any() or not bright[i].any():
                continue
            rows, columns = np.nonzero(bright[i])
            expected = np.array(
                [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float
            )
            boxes = decode(targets["boxes"][i][chosen], CONFIG.anchors[chosen], CONFIG.style)
            np.testing.assert_allclose(boxes * SIZE, np.tile(expected, (len(boxes), 1)), atol=2)
            found += 1
    assert found >= 6


def test_an_epoch_is_the_same_again_and_from_any_step(scenes):
    first = list(loader(scenes, seed=3).train(epoch=1))
    again = loader(scenes, seed=3)
    list(again.train(epoch=0))  # decoded images are kept by now
    check_equal(first, list(again.train(epoch=1)))
    check_equal(first[1:], list(again.train(epoch=1, start=1)))
    other = next(iter(again.train(epoch=2)))
    assert np.abs(other[0] - first[0][0]).max() > 0.5
    assert len(first) == again.steps_per_epoch == 2


def test_shards_share_the_batches_and_the_evaluation_images(scenes):
    whole = loader(scenes, seed=3, eval_batch_size=1)
    shards = [
        loader(scenes, seed=3, eval_batch_size=1, num_shards=2, shard_index=i) for i in range(2)
    ]
    assert [shard.steps_per_epoch for shard in shards] == [whole.steps_per_epoch] * 2
    assert shards[0].fingerprint == whole.fingerprint
    parts = [list(shard.train(epoch=1)) for shard in shards]
    for step, (images, targets) in enumerate(whole.train(epoch=1)):
        for i, part in enumerate(parts):
            np.testing.assert_array_equal(part[step][0], images[i::2])
            np.testing.assert_array_equal(part[step][1]["classes"], targets["classes"][i::2])
    tested = [[labels["boxes"] for _, labels in shard.test()] for shard in shards]
    assert [len(own) for own in tested] == [2, 1]
    for k, (_, labels) in enumerate(whole.test()):
        np.testing.assert_array_equal(tested[k % 2][k // 2], labels["boxes"])
    with pytest.raises(ValueError, match=r"multiple of the number of workers \(3\)"):
        loader(scenes, num_shards=3)


def test_a_view_holds_each_readable_image_once_with_its_position(scenes):
    data = loader(dataset(range(10), range(20, 23), damaged=(2,)), seed=3)
    batches = list(data.view(1))
    positions = np.concatenate([own for own, _, _ in batches])
    assert positions.tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert [len(images) for _, images, _ in batches] == [3, 4, 2]
    (own, images, targets), *_ = data.view(1, start=4)
    assert own.tolist() == [4, 5, 6, 7]
    np.testing.assert_array_equal(images, batches[1][1])
    np.testing.assert_array_equal(targets["boxes"], batches[1][2]["boxes"])
    assert np.abs(next(iter(data.view(0)))[1] - batches[0][1]).max() > 0.5


def test_test_batches_are_the_evaluation_images_with_whole_labels(scenes):
    data = loader(scenes, eval_batch_size=2)
    batches = list(data.test())
    assert [len(images) for images, _ in batches] == [2, 1]
    images, labels = batches[0]
    pixels, label = scene(20)
    np.testing.assert_allclose(images[0], preprocess_image(pixels, PREPROCESS), atol=1e-6)
    assert labels["image_sizes"].tolist() == [[40, 50], [40, 50]]
    assert labels["image_sizes"].dtype == np.int32
    np.testing.assert_array_equal(split_labels(labels)[0]["boxes"], label["boxes"])
    check_equal(batches, list(data.test()))


def test_difficult_crowd_and_tiny_boxes_take_no_part():
    image, label = scene(1)
    for field in ("difficult", "crowd"):
        marked = pad_labels([{**label, field: np.array([True])}] * 2)
        split = memory_split([png(image)] * 2, marked, ["0", "1"])
        data = Dataset("d", ("a", "b", "c"), {"train": split, "all": split}, DETECTION)
        _, targets = next(iter(loader(data, batch_size=2, augmentation=RESIZE).train(0)))
        assert set(np.unique(targets["classes"])) == {-1, 0}
    tiny = pad_labels([make_label([(5, 5, 5.2, 5.2)], [0])] * 2)
    split = memory_split([png(image)] * 2, tiny, ["0", "1"])
    data = Dataset("d", ("a", "b", "c"), {"train": split, "all": split}, DETECTION)
    _, targets = next(iter(loader(data, batch_size=2, augmentation=RESIZE).train(0)))
    assert targets["classes"].max() == 0


def test_unreadable_images_are_replaced_counted_and_named(capsys):
    data = loader(dataset(range(4), range(20, 23), damaged=(2, 21)))
    ((images, targets),) = data.train(0)
    assert len(images) == len(targets["classes"]) == 4
    assert all(image.std() > 0 for image in images)
    ((images, labels),) = data.test()
    assert len(images) == len(labels["classes"]) == 2
    assert [skipped.path for skipped in data.skipped] == ["train/2.png", "validation/21.png"]
    list(data.train(1))
    assert capsys.readouterr().err.count("skipped: train/2.png") == 1


def test_large_images_are_kept_smaller_with_their_boxes():
    image = np.full((400, 300, 3), 40, np.uint8)
    image[100:200, 60:210] = 255
    label = pad_labels([make_label([(60, 100, 210, 200)], [2])])
    split = memory_split([png(image)], label, ["a"])
    data = Dataset("d", ("a", "b", "c"), {"train": split, "all": split}, DETECTION)
    ((images, targets),) = loader(data, batch_size=1, augmentation=RESIZE).train(0)
    chosen = targets["classes"][0] == 3
    (box, *_) = decode(targets["boxes"][0][chosen], CONFIG.anchors[chosen], CONFIG.style)
    np.testing.assert_allclose(box * SIZE, np.array([0.2, 0.25, 0.7, 0.5]) * SIZE, atol=0.01)
    assert (images[0].mean(axis=-1) > 1.2).mean() == pytest.approx(0.125, abs=0.02)


def test_decoded_images_are_kept_up_to_a_bound(scenes, monkeypatch):
    read = []
    from newnet_tf.data import batch_reader

    real = batch_reader.read_image
    monkeypatch.setattr(batch_reader, "read_image", lambda s: read.append(1) or real(s))
    data = loader(scenes, cache_bytes=3 * 40 * 50 * 3)
    list(data.train(0))
    assert len(read) == 8
    data = loader(scenes)
    for epoch in range(6):
        list(data.train(epoch))
    assert len(read) <= 8 + 10


def test_attributes_are_those_of_the_trainers_protocol(scenes):
    data = loader(scenes, max_samples=6, seed=1)
    assert (data.classes, data.class_names) == (3, ("a", "b", "c"))
    assert (data.num_train_samples, data.num_eval_samples, data.steps_per_epoch) == (6, 3, 1)
    assert data.eval_split == "validation"
    assert data.class_counts.sum() == 6
    assert data.fingerprint == loader(scenes, max_samples=6, seed=1).fingerprint
    assert data.fingerprint != loader(scenes).fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 11}, "at most the number of training images"),
        ({"eval_batch_size": 0}, "`eval_batch_size` must be a positive int"),
    ],
)
def test_batch_sizes_that_do_not_fit_are_refused(scenes, arguments, message):
    with pytest.raises(ValueError, match=message):
        loader(scenes, **arguments)


def test_configs_and_datasets_that_do_not_fit_are_refused(scenes):
    crop = PreprocessConfig(image_size=SIZE)
    with pytest.raises(ValueError, match='resize_mode="stretch"'):
        DetectionLoader(scenes, crop, CONFIG, batch_size=2)
    classes = DetectionConfig(classes=4, image_size=SIZE, feature_sizes=(8, 4))
    with pytest.raises(ValueError, match=r"data's 3 classes. Received: classes=4"):
        DetectionLoader(scenes, PREPROCESS, classes, batch_size=2)
    other = Dataset("x", ("a",), scenes.splits)
    with pytest.raises(ValueError, match="images with boxes to train on"):
        DetectionLoader(other, PREPROCESS, CONFIG)


def test_boxes_are_drawn_on_their_edges():
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_boxes(image, [(10, 20, 40, 50)], [""], [0])
    rows, columns = np.nonzero(drawn.any(axis=-1))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (10, 20, 39, 49)
    assert not image.any()
    assert drawn[30, 25].tolist() == [0, 0, 0]


def test_predictions_are_drawn_with_names_inside_of_the_image():
    image = np.zeros((60, 80, 3), np.uint8)
    predictions = [
        Prediction("cat", 1, 0.9, (-5.0, -5.0, 90.0, 30.0)),
        Prediction(None, 2, 0.5, (70.0, 50.0, 79.0, 59.0)),
        Prediction("whole", 0, 1.0),
    ]
    drawn = draw_predictions(image, predictions)
    assert drawn.shape == image.shape
    assert (drawn == (0x3C, 0xB4, 0x4B)).all(axis=-1).sum() > 200  # class 1: frame and name
    assert (drawn == (0x43, 0x63, 0xD8)).all(axis=-1).any()  # class 2
