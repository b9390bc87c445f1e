"""`ArrayLoader`: what is drawn at random, what is reproducible, which arguments are errors."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from newnet_tf.data.array_loader import ArrayLoader, augment_arrays
from newnet_tf.data.augment.config import NONE, Augmentation
from newnet_tf.data.augment.mixup import mix_arrays
from newnet_tf.data.datasets.tar import DatasetError, archive_arrays, archive_dataset
from newnet_tf.models.config import PreprocessConfig

PLAIN = PreprocessConfig(image_size=8, crop_pct=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 8, 8, 3), np.uint8)
LABELS = np.arange(40, dtype=np.int32) % 4


def arrays(augmentation=NONE, **options):
    splits = (IMAGES, LABELS), (IMAGES[:10], LABELS[:10])
    options = {"augmentation": augmentation, "batch_size": 8} | options
    return ArrayLoader("made", 4, *splits, PLAIN, **options)


def test_epoch_has_every_image_once_in_an_order_of_its_own():
    data = arrays()
    sizes = data.steps_per_epoch, data.num_eval_samples, data.batch_size, data.classes
    assert sizes == (5, 10, 8, 4)
    epochs = []
    for epoch in range(2):
        images = np.concatenate([images for images, _ in data.train(epoch)])
        keys = np.rint(images * 255).astype(np.uint8).reshape(40, -1).tolist()
        assert sorted(keys) == sorted(IMAGES.reshape(40, -1).tolist())
        epochs.append(keys)
    assert epochs[0] != epochs[1]


def test_batches_from_a_step_on_are_the_same_with_any_number_of_threads():
    augmentation = Augmentation(crop="random", padding=2, cutmix_alpha=1.0, label_smoothing=0.1)
    whole = list(arrays(augmentation).train(3))
    rest = list(arrays(augmentation, threads=5).train(3, start=2))
    assert len(rest) == 3
    for (images, targets), (again, targets_again) in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(targets, targets_again)
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-5)


def test_random_crops_and_flips_show_the_image_moved():
    augmentation = Augmentation(crop="random", padding=1, hflip_prob=0.5)
    images, targets = augment_arrays(
        IMAGES, LABELS, 4, augmentation, PLAIN, np.random.default_rng(1)
    )
    assert np.array_equal(targets.argmax(1), LABELS)
    seen = set()
    for image, original in zip(np.rint(images * 255).astype(int), IMAGES, strict=True):
        padded = np.pad(original, ((1, 1), (1, 1), (0, 0)))
        views = {
            (top, left, flip): padded[top : top + 8, left : left + 8][:, :: 1 - 2 * flip]
            for top in range(3)
            for left in range(3)
            for flip in (0, 1)
        }
        matching = [key for key, view in views.items() if np.array_equal(view, image)]
        assert len(matching) == 1
        seen.update(matching)
    assert len(seen) > 10


@pytest.mark.parametrize("kind", ["cutmix_alpha", "mixup_alpha"])
def test_a_target_weighs_what_its_image_shows(kind):
    images = np.zeros((64, 8, 8, 3), np.float32)
    images[32:] = 1  # the first half meets the second at the mirrored place
    targets = np.eye(2, dtype=np.float32)[(np.arange(64) >= 32).astype(int)]
    seen, weighed = mix_arrays(images, targets, np.random.default_rng(2), **{kind: 1.0})
    np.testing.assert_allclose(seen.mean((1, 2, 3)), weighed[:, 1], atol=1e-6)
    assert len(np.unique(weighed)) > 10
    if kind == "cutmix_alpha":
        assert set(np.unique(seen)) == {0, 1}


def test_unsupported_augmentation_and_wrong_arrays_are_clear_errors():
    with pytest.raises(ValueError, match=r"use `ImageLoader`.*Received: crop='random_resized'"):
        arrays(Augmentation())
    with pytest.raises(ValueError, match=r"use `ImageLoader`.*randaugment_ops.: 2"):
        arrays(Augmentation(crop="random", randaugment_ops=2))
    with pytest.raises(ValueError, match=r"Received: batch_size=64"):
        arrays(batch_size=64)
    with pytest.raises(ValueError, match=r"labels must lie in 0 to 2. Received: 0 to 3"):
        ArrayLoader("made", 3, (IMAGES, LABELS), (IMAGES, LABELS), PLAIN, batch_size=8)
    with pytest.raises(ValueError, match=r"uint8 \(40, 8, 8, 3\).*Received: float64"):
        ArrayLoader("made", 4, (IMAGES / 2, LABELS), (IMAGES, LABELS), PLAIN, batch_size=8)
    with pytest.raises(ValueError, match=r"`max_samples`.*Received: 41"):
        arrays(max_samples=41)


def test_max_samples_draws_the_same_images_for_the_same_seed():
    one, other = (arrays(max_samples=16) for _ in range(2))
    assert one.steps_per_epoch == 2
    for (images, _), (again, _) in zip(one.train(0), other.train(0), strict=True):
        np.testing.assert_array_equal(images, again)


def archive(path, sizes):
    with tarfile.open(path, "w") as out:
        for i, size in enumerate(sizes):
            data = io.BytesIO()
            Image.fromarray(IMAGES[i]).resize((size, size), 0).save(data, "PNG")
            member = tarfile.TarInfo(
                f"set/{'test' if i % 2 else 'train'}/{'ab'[i // 2 % 2]}/{i}.png"
            )
            member.size = data.tell()
            data.seek(0)
            out.addfile(member, data)
    return path


def test_archive_is_read_as_arrays(tmp_path):
    path = archive(tmp_path / "made.tar", [8] * 8)
    names, splits = archive_arrays(path)
    assert names == archive_dataset(path).class_names == ("a", "b")
    images, labels = splits["train"]
    assert labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(images, IMAGES[[0, 4, 2, 6]])
    with pytest.raises(DatasetError, match=r"set/train/b/6.png: .*one size.*Received: \(9, 9, 3\)"):
        archive_arrays(archive(tmp_path / "other.tar", [8] * 6 + [9, 8]))
