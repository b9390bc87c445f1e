"""Cached features of a detector: values, resumption, bounds; and how a detector is built for data."""

import dataclasses
import io

import keras
import numpy as np
import pytest
import tiny_backbone
from PIL import Image

import newnet_tf
from newnet_tf.data.boxes import make_label, pad_labels
from newnet_tf.data.datasets.base import DETECTION, Dataset, memory_split
from newnet_tf.detection.config import DetectionConfig
from newnet_tf.detection.training.loader import DetectionLoader
from newnet_tf.finetuning import detector_features
from newnet_tf.finetuning.detector_build import build_detector
from newnet_tf.finetuning.detector_features import CachedFeatures, cached_features
from newnet_tf.finetuning.detector_parts import split_model
from newnet_tf.models.config import Card, HubFile, PreprocessConfig, Weights
from newnet_tf.models.config.metadata import ModelMetadata, get_metadata, set_metadata
from newnet_tf.models.file_preprocess import file_preprocess
from newnet_tf.models.model_file import save_model
from newnet_tf.utils.io import sha256

SIZE, VIEWS = 64, 2
NAME = f"ssdlite_{tiny_backbone.NAME}"


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    with tiny_backbone.registered():
        return newnet_tf.create_model(NAME, classes=2, weights=None, input_shape=(SIZE, SIZE, 3))


@pytest.fixture(scope="module")
def data():
    random, splits = np.random.default_rng(0), {}
    for name, count in (("train", 10), ("validation", 5)):
        files, labels = [], []
        for i in range(count):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 255, (SIZE, SIZE, 3), np.uint8)).save(file, "PNG")
            is_damaged = (name, i) in {("train", 3), ("validation", 1)}
            files.append(b"x" if is_damaged else file.getvalue())
            labels.append(make_label([(8, 8, 40, 50)], [i % 2]))
        splits[name] = memory_split(files, pad_labels(labels), [f"{name}{i}" for i in range(count)])
    return Dataset("noise", ("a", "b"), splits, DETECTION)


@pytest.fixture
def loader(model, data):
    metadata = get_metadata(model)
    config = DetectionConfig.from_dict(metadata.task_config)
    return DetectionLoader(data, metadata.preprocess, config, batch_size=4, eval_batch_size=2)


def test_cached_batches_are_the_features_of_views_and_of_evaluation_images(model, loader, tmp_path):
    features, upper = split_model(model)
    cached = CachedFeatures(loader, features, tmp_path / "files", VIEWS)
    known = {}
    for view in range(VIEWS):
        for positions, images, targets in loader.view(view):
            rows = (positions, np.asarray(features(images)), targets["boxes"])
            for i, *values in zip(*rows, strict=True):
                known[view, int(i)] = values
    assert len(known) == VIEWS * 9  # one image cannot be read
    seen = set()
    for epoch in range(VIEWS):
        batches = list(cached.train(epoch))
        assert len(batches) == loader.steps_per_epoch
        for values, targets in batches:
            for own, boxes in zip(values, targets["boxes"], strict=True):
                near = min(known, key=lambda k: np.abs(known[k][0] - own).max())
                np.testing.assert_allclose(own, known[near][0], rtol=1e-3, atol=1e-4)
                np.testing.assert_array_equal(boxes, known[near][1])
                seen.add(near)
    assert len(seen) >= 2 * 8 - 1  # each epoch has another view of an image
    np.testing.assert_array_equal(next(cached.train(1, start=1))[0], batches[1][0])
    images, expected = (np.concatenate(x) for x in zip(*_images_and_sizes(loader), strict=True))
    values, sizes = (np.concatenate(x) for x in zip(*_images_and_sizes(cached), strict=True))
    np.testing.assert_array_equal(sizes, expected)
    whole = model(images, training=False)["scores"]
    np.testing.assert_allclose(upper(values)["scores"], whole, atol=1e-4)


def _images_and_sizes(loader):
    return [(images, labels["image_sizes"]) for images, labels in loader.test()]


def test_an_interrupted_computation_resumes_and_a_finished_one_is_read(
    model, loader, tmp_path, monkeypatch
):
    monkeypatch.setattr(detector_features, "SAVE_EVERY", 1)
    features, _ = split_model(model)
    whole = [v for v, _ in CachedFeatures(loader, features, tmp_path / "whole", VIEWS).train(0)]
    real, calls = loader.view, []

    def interrupted(view, start=0):
        for number, batch in enumerate(real(view, start)):
            if view == 1 and number == 1:
                raise KeyboardInterrupt
            yield batch

    def recorded(view, start=0):
        calls.append((view, start))
        return real(view, start)

    monkeypatch.setattr(loader, "view", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(CachedFeatures(loader, features, tmp_path / "files", VIEWS).train(0))
    monkeypatch.setattr(loader, "view", recorded)
    cached = CachedFeatures(loader, features, tmp_path / "files", VIEWS)
    for own, expected in zip(cached.train(0), whole, strict=True):
        np.testing.assert_array_equal(own[0], expected)
    assert calls == [(1, 4)]
    next(CachedFeatures(loader, features, tmp_path / "files", VIEWS).train(0))
    assert calls == [(1, 4)]
    loader.augmentation = dataclasses.replace(loader.augmentation, hflip_prob=0.0)
    next(CachedFeatures(loader, features, tmp_path / "files", VIEWS).train(0))
    assert calls[1:] == [(0, 0), (1, 0)]
    cached.remove()
    assert not (tmp_path / "files").exists()


def test_features_are_cached_only_where_they_save_time_and_have_room(
    model, loader, tmp_path, monkeypatch, capsys
):
    arguments = (model, loader, tmp_path / "files")
    assert cached_features(*arguments, 0, 5) is None
    assert cached_features(*arguments, 4, 4) is None
    assert capsys.readouterr().err == ""
    upper, cached = cached_features(*arguments, 4, 5)
    assert upper.input_shape == (None, 4, 4, 24)
    assert cached.fingerprint == loader.fingerprint | {"cached_views": 4}
    anchors = loader.config.anchor_count
    each = 2 * 4 * 4 * 24 + anchors * (4 * 4 + 2)
    assert cached.nbytes == 4 * 10 * each + 10 + 5 * 4 * 4 * 4 * 24
    monkeypatch.setattr(detector_features, "MAX_BYTES", 100)
    assert cached_features(*arguments, 4, 5) is None
    assert "features are not cached: 4 views of 10 images" in capsys.readouterr().err


class _Variant:
    """Builds a model of one layer; weights of two classes bring their score layers."""

    def build(self, weights, classes, score_function, **others):
        inputs = keras.Input((2,))
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
        config = DetectionConfig(
            classes=classes, image_size=8, feature_sizes=(2, 1), score_function=score_function
        )
        metadata = ModelMetadata(
            name="net",
            preprocess=PreprocessConfig(),
            task="detection",
            trained=weights is not None and classes == 2,
            task_config=config.to_dict(),
        )
        set_metadata(model, metadata)
        return model


def test_a_detector_is_trained_with_softmax_unless_its_weights_have_the_scores(tmp_path):
    def function(weights, classes, chosen=None):
        built = build_detector(_Variant(), weights, classes, None, chosen, 0)
        return get_metadata(built).task_config["score_function"]

    assert function(None, 2) == function("tag", 3) == "softmax"
    assert function("tag", 2) == "sigmoid"  # the style's own
    assert function("tag", 2, "softmax") == "softmax"
    for own in ("sigmoid", "softmax"):
        file = tmp_path / f"{own}.keras"
        model = _Variant().build(None, 2, own)
        save_model(model, file, get_metadata(model))
        assert function(str(file), 2) == own
        assert function(str(file), 3) == "softmax"


def test_a_file_has_the_preprocessing_of_its_card_its_metadata_or_the_usual_one(
    model, tmp_path, capsys
):
    file, other = tmp_path / "a.pth", tmp_path / "b.pth"
    file.write_bytes(b"weights")
    other.write_bytes(b"others")
    published = Weights(
        tag="known",
        sources=(HubFile(repo="a/b", sha256=sha256(file)),),
        license="MIT",
        author="nobody",
        preprocess=PreprocessConfig(image_size=99),
    )
    card = Card(name="net", title="Net", weights=(published,))
    assert file_preprocess(file, card) == published.preprocess
    assert "a.pth is net.known" in capsys.readouterr().err
    assert file_preprocess(other, card) == card.preprocess
    assert "b.pth is no published file of net" in capsys.readouterr().err
    saved, own = tmp_path / "c.keras", get_metadata(model)
    save_model(model, saved, own)
    assert file_preprocess(saved, card) == own.preprocess
    assert "its metadata name" in capsys.readouterr().err
