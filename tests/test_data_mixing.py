"""MixUp, CutMix and label smoothing: labels weigh exactly what the pixels show."""

import numpy as np
import pytest
import tensorflow as tf

from newnet_tf.data.augment.mixup import box_mask, mix, mix_arrays, smooth_targets

COUNT, SIDE, CLASSES = 64, 20, 5


@pytest.fixture(scope="module")
def batch():
    """Images that are all of one value, their number, so that shares can be read off them."""
    values = np.arange(1.0, COUNT + 1)
    images = np.broadcast_to(values[:, None, None, None], (COUNT, SIDE, SIDE, 3))
    labels = np.arange(COUNT) % CLASSES
    return tf.constant(images, tf.float32), smooth_targets(labels, CLASSES), labels


def mixed(batch, **fields):
    """What `mix` gives eagerly, after checking that tf.data gives the same."""
    images, targets, _ = batch
    seed = tf.constant([11, 3], tf.int64)
    eager = [part.numpy() for part in mix(images, targets, seed, **fields)]
    dataset = tf.data.Dataset.from_tensors((images, targets))
    mapped = next(iter(dataset.map(lambda x, y: mix(x, y, seed, **fields))))
    for a, b in zip(eager, mapped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    return eager


def expected_targets(shares, labels):
    """Targets of images that show `shares` of their own and the rest of their partner."""
    one_hot = np.eye(CLASSES)[labels]
    return shares[:, None] * one_hot + (1 - shares[:, None]) * one_hot[::-1]


def test_cutmix_labels_are_the_shares_of_the_area(batch):
    images, targets = mixed(batch, cutmix_alpha=1.0)
    values = np.arange(1, COUNT + 1)
    own = (np.abs(images[..., 0] - values[:, None, None]) < 1e-3).mean(axis=(1, 2))
    partner = (np.abs(images[..., 0] - values[::-1, None, None]) < 1e-3).mean(axis=(1, 2))
    np.testing.assert_allclose(own + partner, 1)
    np.testing.assert_allclose(targets, expected_targets(own, batch[2]), atol=1e-6)
    assert len(np.unique(own)) > COUNT / 2  # a box of its own for each
    assert ((own > 0) & (own < 1)).mean() > 0.8


def test_cutmix_pastes_one_box_clipped_to_the_image(batch):
    images, _ = mixed(batch, cutmix_alpha=1.0)
    touching = 0
    for number, image in enumerate(images[..., 0]):
        pasted = np.abs(image - (number + 1)) > 1e-3
        if pasted.any():
            rows, columns = np.where(pasted.any(1))[0], np.where(pasted.any(0))[0]
            assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            touching += rows[0] == 0 or rows[-1] == SIDE - 1
    assert touching > 10


@pytest.mark.parametrize("xp", [np, tf], ids=["numpy", "tensorflow"])
def test_box_is_clipped_after_it_is_placed(xp):
    pixels = np.arange(100, dtype=np.float32)
    edge = np.float32([np.sqrt(0.25)] * 2)
    if xp is tf:
        pixels, edge = tf.constant(pixels), tf.constant(edge)
    covered = np.asarray(box_mask(xp, np.float32([0.0, 0.5]), edge, pixels))
    assert np.flatnonzero(covered[0]).tolist() == list(range(25))  # 50 pixels about the corner
    assert np.flatnonzero(covered[1]).tolist() == list(range(25, 75))


def test_arrays_are_mixed_as_tensors_are(batch):
    """Both draw by themselves; the labels of both weigh what the pixels show."""
    images, targets = (np.asarray(part) for part in batch[:2])
    seen, weighed = mix_arrays(images, targets, np.random.default_rng(4), cutmix_alpha=1.0)
    own = (np.abs(seen[..., 0] - images[..., 0]) < 1e-3).mean(axis=(1, 2))
    np.testing.assert_allclose(weighed, expected_targets(own, batch[2]), atol=1e-6)
    assert np.ptp(own) > 0.5
    untouched = mix_arrays(images, targets, np.random.default_rng(4))
    np.testing.assert_array_equal(untouched[0], images)


def test_mixup_labels_are_the_weights(batch):
    images, targets = mixed(batch, mixup_alpha=0.4)
    values = np.arange(1.0, COUNT + 1)
    assert np.ptp(images, axis=(1, 2, 3)).max() < 1e-3  # images stay of one value
    own = (images[:, 0, 0, 0] - values[::-1]) / (values - values[::-1])
    assert (own >= -1e-3).all()
    assert (own <= 1 + 1e-3).all()
    np.testing.assert_allclose(targets, expected_targets(own, batch[2]), atol=1e-3)


def test_with_both_alphas_each_image_gets_either_method(batch):
    images, targets = mixed(batch, mixup_alpha=1.0, cutmix_alpha=1.0)
    is_flat = np.ptp(images, axis=(1, 2, 3)) < 1e-3
    assert 15 < is_flat.sum() < 49
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-5)


def test_mix_prob_leaves_the_other_images_unchanged(batch):
    images, targets = mixed(batch, mixup_alpha=1.0, mix_prob=0.5)
    unchanged = (np.abs(images - batch[0]) < 1e-4).all(axis=(1, 2, 3))
    assert 18 < unchanged.sum() < 46
    np.testing.assert_allclose(targets[unchanged], np.eye(CLASSES)[batch[2][unchanged]], atol=1e-5)


@pytest.mark.parametrize(("alpha", "spread"), [(0.2, 0.42), (1.0, 0.29), (8.0, 0.12)])
def test_mixup_weights_follow_the_beta_distribution(alpha, spread):
    images = tf.constant(
        np.stack([np.zeros((2000, 1, 1, 3)), np.ones((2000, 1, 1, 3))]), tf.float32
    )
    images = tf.reshape(images, (4000, 1, 1, 3))
    found, _ = mix(images, tf.ones((4000, 1)), tf.constant([1, 2], tf.int64), mixup_alpha=alpha)
    weights = 1 - found.numpy()[:2000].mean(axis=(1, 2, 3))
    assert weights.mean() == pytest.approx(0.5, abs=0.04)
    assert weights.std() == pytest.approx(1 / (2 * np.sqrt(2 * alpha + 1)), abs=0.02)
    assert weights.std() == pytest.approx(spread, abs=0.03)


def test_label_smoothing_spreads_over_all_classes():
    found = smooth_targets(np.array([2, 0]), 4, 0.1).numpy()
    np.testing.assert_allclose(found[0], [0.025, 0.025, 0.925, 0.025], atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(smooth_targets([1], 3), [[0, 1, 0]])
