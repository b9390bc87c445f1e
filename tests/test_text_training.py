"""Training of text detectors: loss, crops of real images, batches, a teacher's maps; a net learns."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw

from newnet_tf.data.datasets.base import TEXT_DETECTION, Dataset, file_split
from newnet_tf.data.images import read_image
from newnet_tf.data.words import make_words, pad_words
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.text.config import TextConfig
from newnet_tf.text.score_maps import draw_maps
from newnet_tf.text.synthesis.config import SynthesisConfig
from newnet_tf.text.training.augment import (
    TextAugmentation,
    crop_text,
    paint_weights,
    to_crop,
    word_states,
)
from newnet_tf.text.training.contact_sheet import draw_maps_over, draw_training_images
from newnet_tf.text.training.loader import TextLoader
from newnet_tf.text.training.losses import text_loss
from newnet_tf.text.training.pseudo_boxes import split_words_evenly
from newnet_tf.text.training.teacher import TeacherMaps, cache_maps, compute_maps, warp_map

SIZE = 96
PREPROCESS = PreprocessConfig(image_size=SIZE, resize_mode="letterbox", interpolation="bilinear")
CONFIG = TextConfig(image_size=SIZE)
SYNTHESIS = SynthesisConfig(fonts=[None], max_blocks=3, text_height=(10, 24))
STILL = TextAugmentation(scale=(1, 1), rotation_std=0, photometric_prob=0, blur_prob=0)
STEPS = 70
SIGN = [[[40, 30], [120, 30], [120, 50], [40, 50]]]


def write_sign(path, words=SIGN):
    """Writes an image of white words on gray."""
    image = Image.new("RGB", (160, 120), (90, 90, 90))
    for word in words:
        ImageDraw.Draw(image).polygon([tuple(corner) for corner in word], (255, 255, 255))
    image.save(path)
    return path


@pytest.fixture
def signs(tmp_path):
    """A dataset of three images to train on and two to evaluate on."""
    paths = [write_sign(tmp_path / f"{i}.png") for i in range(5)]
    labels = [make_words(SIGN, text=["OPEN"]) for _ in paths]
    splits = {
        name: file_split(paths[part], pad_words(labels[part]))
        for name, part in (("train", slice(3)), ("validation", slice(3, 5)))
    }
    return Dataset("signs", ("text",), splits, TEXT_DETECTION)


def loader(dataset=None, **options):
    defaults = {"synthesis": SYNTHESIS, "image_size": SIZE, "batch_size": 4, "steps_per_epoch": 2}
    return TextLoader(PREPROCESS, CONFIG, dataset, **{**defaults, **options})


def slow_map_loss(target, output, weight):
    """The loss of one map, image by image, by sorting."""
    losses = []
    for t, o, w in zip(target, output, weight, strict=True):
        errors = (o - t) ** 2 * w
        positive, used = (t > 0.1) & (w > 0), w > 0
        negative = np.sort(errors[used & ~positive])[::-1]
        most = min(max(3 * positive.sum(), min(500, t.size)), len(negative))
        loss = errors[positive].mean() if positive.any() else 0.0
        losses.append(loss + (negative[:most].mean() if most else 0.0))
    return np.mean(losses)


def test_the_loss_equals_the_one_by_sorting():
    random = np.random.default_rng(0)
    shape = (3, 40, 40, 1)
    target = {name: random.random(shape) ** 8 for name in ("region", "affinity")}
    target["affinity"][1] = 0  # an image without any
    target["weight"] = random.choice([0.0, 0.6, 1.0], shape)
    target["weight"][2] = 0  # an image without part in the loss
    outputs = {name: random.random(shape) for name in ("region", "affinity")}
    found = text_loss(target, outputs)
    assert set(found) == {"region", "affinity"}
    for name, loss in found.items():
        expected = slow_map_loss(target[name], outputs[name], target["weight"])
        assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_the_loss_of_equal_maps_is_zero_and_cells_of_no_weight_do_not_count():
    target = {name: np.zeros((1, 8, 8, 1)) for name in ("region", "affinity")}
    target["weight"] = np.ones((1, 8, 8, 1))
    same = text_loss(target, {name: target[name] for name in ("region", "affinity")})
    assert [float(loss) for loss in same.values()] == [0, 0]
    wrong = {name: np.zeros((1, 8, 8, 1)) for name in ("region", "affinity")}
    wrong["region"][0, 3, 3] = 1
    assert float(text_loss(target, wrong)["region"]) == pytest.approx(1 / 64)
    target["weight"][0, 3, 3] = 0
    assert float(text_loss(target, wrong)["region"]) == 0


def test_a_crop_moves_words_with_the_pixels(tmp_path):
    image = read_image(write_sign(tmp_path / "a.png"))
    augmentation = dataclasses.replace(STILL, scale=(0.4, 2.0), rotation_std=20, focus_prob=1)
    for seed in range(6):
        random = np.random.default_rng(seed)
        matrix = augmentation.choose_crop(image.shape[:2], np.array(SIGN, float), 64, random)
        white = crop_text(image, matrix, 64)[..., 0] > 200
        polygon = to_crop(np.array(SIGN[0], float), matrix)
        drawn = Image.new("1", (64, 64))
        ImageDraw.Draw(drawn).polygon([tuple(map(float, corner)) for corner in polygon], 1)
        drawn = np.asarray(drawn)
        assert white.sum() > 30
        assert (white & drawn).sum() / (white | drawn).sum() > 0.75


def test_cut_and_tiny_words_have_no_weight():
    box = np.array([[0, 0], [20, 0], [20, 10], [0, 10]], float)
    polygons = np.stack([box + 5, box + 54, box + 90, box * 0.3 + 5])
    whole, unclear = word_states(polygons, 64, 4.0)
    assert whole.tolist() == [True, False, False, False]
    assert unclear.tolist() == [False, True, False, True]
    weights = paint_weights(polygons[[0, 1]], np.array([0.5, 0.0]), 64, 2)
    assert (weights[5, 6], weights[29, 30], weights[20, 10]) == (0.5, 0.0, 1.0)


def test_synthetic_batches_repeat_from_any_step():
    batches = list(loader(seed=3).train(epoch=1))
    assert len(batches) == 2
    images, targets = batches[0]
    assert images.shape == (4, SIZE, SIZE, 3)
    assert images.dtype == targets["region"].dtype == np.float32
    assert {name: t.shape for name, t in targets.items()} == dict.fromkeys(
        ("region", "affinity", "weight"), (4, SIZE // 2, SIZE // 2, 1)
    )
    assert 0.9 < targets["region"].max() <= 1
    assert targets["weight"].min() == 1
    ((again, same),) = loader(seed=3).train(epoch=1, start=1)
    np.testing.assert_array_equal(again, batches[1][0])
    np.testing.assert_array_equal(same["affinity"], batches[1][1]["affinity"])
    other, _ = next(loader(seed=4).train(epoch=1))
    assert (other != images).any()


def test_real_words_become_maps_of_their_letters(signs):
    made = loader(
        signs, real_fraction=1.0, augmentation=dataclasses.replace(STILL, scale=(0.7, 0.7))
    )
    images, targets = next(made.train(0))
    pixels = images * PREPROCESS.std + PREPROCESS.mean
    seen = 0
    for i in range(4):
        white = pixels[i, ::2, ::2, 0] > 0.9
        region, weight = (targets[name][i, ..., 0] for name in ("region", "weight"))
        assert (white[region > 0.6]).all()
        assert not (white & (weight == 1) & (region < 0.01)).any()
        seen += region.max() > 0.9
    assert seen
    assert made.fingerprint["real"] == 3
    assert made.fingerprint["shares"] == [0, 1, 0]


def test_ignored_words_have_no_weight_and_no_region(tmp_path):
    path = write_sign(tmp_path / "a.png")
    split = file_split([path], pad_words([make_words(SIGN, ignore=[True], text=["###"])]))
    data = Dataset("one", ("text",), {"train": split, "all": split}, TEXT_DETECTION)
    made = loader(data, real_fraction=1.0, augmentation=STILL, batch_size=8)
    images, targets = next(made.train(0))
    white = (images * PREPROCESS.std + PREPROCESS.mean)[:, ::2, ::2, :1] > 0.9
    assert white.any()
    assert targets["region"].max() == 0
    assert targets["weight"][white].max() == 0


def test_evaluation_images_are_letterboxed_with_padded_words(signs):
    ((images, labels),) = loader(signs).test()
    assert images.shape == (2, SIZE, SIZE, 3)
    assert labels["image_sizes"].tolist() == [[120, 160]] * 2
    np.testing.assert_array_equal(labels["polygons"], np.array([SIGN, SIGN], np.float32))
    assert (labels["counts"].tolist(), labels["ignore"].any()) == ([1, 1], False)
    assert "text" not in labels


def test_without_a_dataset_evaluation_images_are_synthetic_and_stay():
    made = loader(eval_samples=3, eval_batch_size=2)
    first, again = ([images for images, _ in made.test()] for _ in range(2))
    assert [len(images) for images in first] == [2, 1]
    np.testing.assert_array_equal(first[0], again[0])
    assert made.num_eval_samples == 3


def test_an_unreadable_image_is_replaced_and_named(tmp_path, signs, capsys):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    split = file_split([bad], pad_words([make_words(SIGN)]))
    data = dataclasses.replace(signs, splits={"train": split, "all": split})
    made = loader(data, real_fraction=1.0)
    images, _ = next(made.train(0))
    assert np.isfinite(images).all()
    assert [image.path.rpartition("/")[2] for image in made.skipped] == ["bad.png"]
    assert list(made.test()) == []
    assert "bad.png" in capsys.readouterr().err


def fake_teacher(images):
    """A detector that finds white pixels, at stride 2."""
    white = (images * PREPROCESS.std + PREPROCESS.mean)[:, ::2, ::2, :1] > 0.8
    return {"region": white.astype(np.float32), "affinity": 0.5 * white}


def test_a_teachers_maps_are_kept_and_cropped_like_the_image(tmp_path, signs):
    paths = sorted(tmp_path.glob("*.png"))
    blank = tmp_path / "blank.png"
    Image.new("RGB", (64, 64)).save(blank)
    paths = [*paths[:1], blank]  # the signs are equal files
    assert cache_maps(fake_teacher, paths, tmp_path / "maps", PREPROCESS, long_side=320) == 2
    assert cache_maps(fake_teacher, paths, tmp_path / "maps", PREPROCESS, long_side=320) == 0
    teacher = TeacherMaps(tmp_path / "maps")
    maps = teacher.find(paths[0])
    assert maps.region.shape == (120, 160)
    assert maps.scale == (1.0, 1.0)
    assert teacher.text_free(paths) == [blank]
    made = loader(signs, real_fraction=1.0, targets="teacher", teacher=teacher)
    images, targets = next(made.train(0))
    white = (images * PREPROCESS.std + PREPROCESS.mean)[:, ::2, ::2, :1] > 0.8
    agree = (targets["region"] > 0.5) == white
    assert agree.mean() > 0.97
    pseudo = loader(signs, real_fraction=1.0, targets="pseudo", teacher=tmp_path / "maps")
    _, targets = next(pseudo.train(0))  # the whole word is one peak, so it is split evenly
    assert set(np.unique(targets["weight"])) <= {0, 0.5, 1}
    made = loader(unlabeled=paths, unlabeled_fraction=1.0, teacher=teacher)
    assert next(made.train(0))[1]["affinity"].max() <= 0.5


def test_a_warped_map_lies_where_one_drawn_anew_does():
    word = np.array([[30, 20], [90, 26], [88, 50], [28, 42]], float)
    quads, owners = split_words_evenly(word[None], ["ABCD"])
    whole, _ = draw_maps(quads, owners, (80, 120), 2)
    angle = np.radians(10)
    matrix = np.array([[np.cos(angle), -np.sin(angle), 20], [np.sin(angle), np.cos(angle), 5]])
    matrix = np.vstack([matrix * (0.8, 0.8, 1), [0, 0, 1]])
    drawn, _ = draw_maps(to_crop(quads, matrix), owners, 96, 2)
    assert abs(warp_map(whole, (0.5, 0.5), matrix, 96, 2) - drawn).max() < 0.12


def test_maps_of_any_image_size_are_cut_to_the_image():
    maps = compute_maps(fake_teacher, np.full((50, 100, 3), 255, np.uint8), PREPROCESS, 100)
    assert maps.region.shape == (25, 50)
    assert maps.region.min() == 1
    assert maps.scale == (0.5, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 100}, "`image_size` must be a multiple of 32"),
        ({"batch_size": 0}, "`batch_size` must be a positive int"),
        ({"targets": "boxes"}, "`targets` must be among"),
        ({"unlabeled": ["a.jpg"]}, "`teacher` must be the folder"),
        ({"teacher": "nowhere"}, "a folder of score maps must exist"),
    ],
)
def test_a_wrong_argument_of_the_loader_is_named(options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        loader(**options)


def test_images_without_a_teachers_maps_are_named(tmp_path, signs):
    (tmp_path / "maps").mkdir()
    with pytest.raises(ValueError, match=r"without those of 3, .*0\.png"):
        loader(signs, targets="teacher", teacher=tmp_path / "maps")


@pytest.mark.parametrize("options", [{"scale": (2, 1)}, {"focus_prob": 2}, {"hue": -1}])
def test_a_wrong_augmentation_is_named(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        TextAugmentation(**options)


def test_a_contact_sheet_shows_images_beside_their_maps():
    page = draw_training_images(loader().train(0), PREPROCESS, count=3)
    assert page.size == (6 * (SIZE + 6) + 6, SIZE + 16 + 6 + 6)
    over = draw_maps_over(np.zeros((8, 8, 3), np.uint8), np.eye(4), np.zeros((4, 4)))
    assert over[0, 0].tolist() == [140, 0, 0]
    with pytest.raises(ValueError, match="at least one image"):
        draw_training_images([], PREPROCESS)


@pytest.mark.slow
def test_a_tiny_network_learns_the_maps_of_sixteen_images():
    import keras

    keras.utils.set_random_seed(0)
    config = TextConfig(image_size=SIZE, stride=4)
    made = TextLoader(PREPROCESS, config, synthesis=SYNTHESIS, image_size=SIZE, steps_per_epoch=1)
    images, targets = next(made.train(0))
    assert images.shape[0] == 16
    image = x = keras.Input((SIZE, SIZE, 3))
    for channels, stride in ((12, 2), (24, 2), (32, 1)):
        x = keras.layers.Conv2D(channels, 3, stride, "same")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    heads = {name: keras.layers.Conv2D(1, 1, name=name)(x) for name in ("region", "affinity")}

    class Trained(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return sum(text_loss(y, y_pred).values())

    model = Trained(image, heads)
    model.compile(optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    losses = [float(model.train_on_batch(images, targets)) for _ in range(STEPS)]
    assert losses[-1] < 0.1 * losses[0]
    region = np.asarray(model(images, training=True)["region"])
    on_text, elsewhere = targets["region"] > 0.7, targets["region"] < 0.01
    assert region[on_text].mean() > region[elsewhere].mean() + 0.2
