"""The records: preprocessing arithmetic, weights by tag, measured figures, result tables."""

import dataclasses

import pytest

import newnet_tf
from newnet_tf import results
from newnet_tf.models.config import (
    Card,
    CheckpointFormat,
    HubFile,
    PackageFile,
    PreprocessConfig,
    Weights,
)


def test_preprocess_arithmetic():
    record = PreprocessConfig(image_size=224, crop_pct=0.875)
    assert record.resize == 256
    assert PreprocessConfig(image_size=240, crop_pct=0.882).resize == 272
    for channel in range(3):
        for pixel in (0, 100, 255):
            linear = pixel * record.scale[channel] + record.offset[channel]
            direct = (pixel / 255 - record.mean[channel]) / record.std[channel]
            assert linear == pytest.approx(direct)


def test_efficientnet_lite_wants_127_and_128():
    record = newnet_tf.model_card("efficientnet_lite0").preprocess
    for pixel in (0, 127, 255):
        assert pixel * record.scale[0] + record.offset[0] == pytest.approx((pixel - 127) / 128)


@pytest.mark.parametrize(
    "wrong",
    [
        {"interpolation": "nearest"},
        {"crop_pct": 0},
        {"crop_pct": 1.1},
        {"image_size": 0},
        {"std": (1, 0, 1)},
        {"mean": (0.5,)},
        {"mean": (0.5, 0.5), "std": (1, 1)},
        {"mean": (), "std": (1,)},
    ],
)
def test_preprocess_refuses_nonsense(wrong):
    with pytest.raises(ValueError, match="Received"):
        PreprocessConfig(**wrong)


def test_channels_follow_from_the_mean():
    assert PreprocessConfig(image_size=97).shape == (97, 97, 3)
    gray = PreprocessConfig(image_size=32, mean=(0.5,), std=(0.25,))
    assert (gray.channels, gray.shape) == (1, (32, 32, 1))


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        newnet_tf.model_card("newnet_small").name = "other"


def test_select():
    card = newnet_tf.model_card("rexnet_100")
    assert card.select("imagenet") is card.select("nav_in1k") is card.weights[0]
    with pytest.raises(ValueError, match=r"'imagenet', 'nav_in1k'.*Received: weights='x'"):
        card.select("x")


def test_imagenet_means_a_thousand_classes():
    twelve = Weights(
        tag="in12k",
        sources=(HubFile(repo="a/b"),),
        license="MIT",
        author="",
        preprocess=PreprocessConfig(),
        classes=11821,
    )
    card = Card(name="a", title="A", weights=(twelve,))
    assert card.default_weights is None
    with pytest.raises(ValueError, match="Received: weights='imagenet'"):
        card.select("imagenet")


def test_weights_of_other_data_are_chosen_by_tag():
    ten = Weights(
        tag="cifar10",
        sources=(HubFile(repo="a/b"),),
        license="MIT",
        author="",
        preprocess=PreprocessConfig(image_size=32),
        dataset="CIFAR-10",
        classes=10,
    )
    card = Card(name="a", title="A", preprocess=ten.preprocess, weights=(ten,), classes=10)
    assert card.select("cifar10") is ten
    with pytest.raises(ValueError, match=r"known: \['cifar10'\].*Received: weights='imagenet'"):
        card.select("imagenet")
    assert (card.default_weights, Card(name="b", title="B").classes) == ("cifar10", 1000)


def test_unknown_layout():
    with pytest.raises(ValueError, match=r"gluon.*Received: layout='mxnet'"):
        CheckpointFormat(name="x", layers={}, layout="mxnet")


def test_every_card_is_complete():
    for name in newnet_tf.list_models():
        card = newnet_tf.model_card(name)
        assert card.name == name
        assert card.title
        assert card.weights or card.notes, f"{name}: say why there are no weights"
        assert card.reported is None or card.reported.source
        for weights in card.weights:
            assert weights.license in ("MIT", "Apache-2.0", "BSD-3-Clause")
            assert weights.sources
            for source in weights.sources:
                if isinstance(source, PackageFile):
                    assert len(source.sha256) == 64


def test_tables_merge_and_are_stamped(tmp_path):
    first = [{"model": "a", "threads": 1, "ms": 1.23456789}, {"model": "b", "threads": 1, "ms": 2}]
    results.record("latency", first, keys=("model", "threads"), folder=tmp_path)
    results.record(
        "latency", [{"model": "a", "threads": 1, "ms": 9}], ("model", "threads"), tmp_path
    )
    rows = results.read("latency", tmp_path)
    assert [(r["model"], r["ms"]) for r in rows] == [("a", "9"), ("b", "2")]
    assert all(r["machine"] and r["date"] and "keras" in r["versions"] for r in rows)
    assert [p.name for p in tmp_path.iterdir()] == ["latency.csv"]


def test_tables_keep_columns_that_new_rows_lack(tmp_path):
    results.record("t", [{"model": "a", "old": 1}, {"model": "b", "new": 2}], folder=tmp_path)
    results.record("t", [{"model": "c"}], folder=tmp_path)
    rows = {row["model"]: (row["old"], row["new"]) for row in results.read("t", tmp_path)}
    assert rows == {"a": ("1", ""), "b": ("", "2"), "c": ("", "")}


def test_a_failed_record_leaves_the_table_alone(tmp_path):
    results.record("t", [{"model": "a"}], folder=tmp_path)
    before = (tmp_path / "t.csv").read_bytes()
    with pytest.raises(ValueError, match="Received: none"):
        results.record("t", [], folder=tmp_path)
    with pytest.raises(KeyError):
        results.record("t", [{"model": "b"}], keys=("missing",), folder=tmp_path)
    assert (tmp_path / "t.csv").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_no_table_is_no_rows(tmp_path):
    assert results.read("nothing", tmp_path) == []
