"""Curves are read as their docstring says, on made-up histories, and drawn."""

import numpy as np
import pytest
from PIL import Image

from newnet_tf.training import curve_diagnosis, curves
from newnet_tf.training.curve_diagnosis import diagnose_curves
from newnet_tf.training.history import best_epoch, read_history, write_history
from newnet_tf.utils import palette

EPOCHS = 30


def history(train_loss, test_loss, train_error=None, test_error=None):
    """A history of these losses; errors follow them unless given."""
    train_error = 30 * np.asarray(train_loss) if train_error is None else train_error
    test_error = 30 * np.asarray(test_loss) if test_error is None else test_error
    columns = zip(train_loss, test_loss, train_error, test_error, strict=True)
    return [
        {
            "epoch": place + 1,
            "learning_rate": 0.1,
            "train_loss": float(a),
            "test_loss": float(b),
            "train_error": float(c),
            "test_error": float(d),
            "seconds": 1.0,
        }
        for place, (a, b, c, d) in enumerate(columns)
    ]


def noise(seed, size=0.01, epochs=EPOCHS):
    return np.random.default_rng(seed).normal(0, size, epochs)


def falling(low, high=2.0, epochs=EPOCHS):
    return low + (high - low) * np.exp(-np.arange(epochs) / 5)


def rising_from(epoch, slope=0.03):
    return slope * np.maximum(0, np.arange(EPOCHS) - epoch + 1)


@pytest.mark.parametrize("seed", range(5))
def test_well_generalized(seed):
    found = diagnose_curves(history(falling(0.3), falling(0.4) + noise(seed)))
    assert (found.kind, found.epoch) == (curve_diagnosis.WELL, None)
    assert str(found).startswith("Well generalized: ")


def test_one_odd_epoch_decides_nothing():
    for place in (5, 20, EPOCHS - 1):
        tested = falling(0.4)
        tested[place] *= 3
        assert diagnose_curves(history(falling(0.3), tested)).kind == curve_diagnosis.WELL


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("epoch", [8, 15])
def test_overfitting_from_epoch(seed, epoch):
    tested = np.where(np.arange(EPOCHS) < epoch, falling(0.4), falling(0.4)[epoch - 1])
    tested = tested + rising_from(epoch) + noise(seed, 0.002)
    found = diagnose_curves(history(falling(0.0), tested))
    assert found.kind == curve_diagnosis.OVERFITTING
    assert abs(found.epoch - epoch) <= 1
    assert f"Overfitting from epoch {found.epoch}:" in str(found)
    assert "fell all the same" not in str(found)
    better = history(falling(0.0), tested, test_error=np.linspace(60, 30, EPOCHS))
    assert "the test error fell all the same" in str(diagnose_curves(better))


def test_a_rise_without_fitting_is_unstable():
    trained = falling(0.4) + 2 * rising_from(12)
    found = diagnose_curves(history(trained, falling(0.5) + rising_from(12)))
    assert found.kind == curve_diagnosis.UNSTABLE
    assert "did not fall" in str(found)


def test_late_reversal():
    """As with a high rate that a cosine takes down: worse for long, and at last better than ever."""
    rise = [1.0, *[1.2] * 13]
    tested = np.concatenate([np.linspace(2, 1, 6), rise, np.linspace(1.1, 0.5, 10)])
    found = diagnose_curves(history(falling(0.3), tested))
    assert found.kind == curve_diagnosis.REVERSAL
    assert found.epoch == 23  # 0.97, the first below 1
    assert "risen since epoch 6" in str(found)
    early = np.concatenate([np.linspace(2, 1, 2), [1.0], [1.2] * 4, np.linspace(0.9, 0.5, 23)])
    assert diagnose_curves(history(falling(0.3), early)).kind == curve_diagnosis.WELL
    short = np.concatenate([np.linspace(2, 1, 19), [1.0, 1.2], np.linspace(0.9, 0.5, 9)])
    assert diagnose_curves(history(falling(0.3), short)).kind == curve_diagnosis.WELL


def test_gap_nothing_and_short():
    diverging = history(falling(0.0), falling(1.0), falling(0, 60), falling(30, 70))
    found = diagnose_curves(diverging)
    assert found.kind == curve_diagnosis.GAP
    assert "by 29" in str(found) or "by 30" in str(found)
    flat = 2.3 + noise(0, 0.005)
    assert diagnose_curves(history(flat, 2.3 + noise(1, 0.005))).kind == curve_diagnosis.NOTHING
    assert diagnose_curves(history(falling(0.3), falling(0.4))[:3]).kind == curve_diagnosis.SHORT


def test_the_best_epoch_is_the_first_of_equals():
    errors = [50.0, 20.0, 30.0, 20.0]
    assert best_epoch(history([1] * 4, [1] * 4, test_error=errors)) == 1


@pytest.mark.parametrize("epochs", [1, 2, EPOCHS])
def test_curves_are_written_and_drawn(tmp_path, epochs):
    made = history(falling(0.3), falling(0.4) + noise(0))[:epochs]
    write_history(made, tmp_path)
    assert read_history(tmp_path) == made
    curves.write_curves(made, tmp_path, "tiny")
    with Image.open(tmp_path / curves.FILE) as image:
        assert image.size == (1100, 484)
        drawn = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for color in (palette.TRAIN, palette.TEST):
        exact = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (drawn == exact).all(axis=1).sum() > 20


def test_events_are_tensorboards(tmp_path):
    import tensorflow as tf

    made = history(falling(0.3), falling(0.4))
    events = curves.TensorBoardEvents(tmp_path)
    events.write(made[:3])
    events.close()
    events = curves.TensorBoardEvents(tmp_path)  # the run resumes in another process
    events.write(made[:4])
    events.write(made[:5])
    events.close()
    [file] = tmp_path.iterdir()
    records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    first, *others = [tf.compat.v1.Event.FromString(record) for record in records]
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in others] == [1, 2, 3, 4, 5]
    values = {value.tag: value.simple_value for value in others[4].summary.value}
    assert values["test/loss"] == pytest.approx(made[4]["test_loss"])
    assert set(values) == {
        "learning/rate", "train/loss", "train/error", "test/loss", "test/error", "seconds"
    }  # fmt: skip
