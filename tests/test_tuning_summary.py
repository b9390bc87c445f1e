"""What a search says of its best trial, and how it draws the trials."""

import pytest
import tiny_run

from newnet_tf.task import get_task
from newnet_tf.training.tuning import summary
from newnet_tf.training.tuning.search_space import grid_points, parse_search_space
from newnet_tf.training.tuning.trials import COMPLETE, FAILED, Trial, TuneResult


def outcome(over, errors, *, tests=1000, epochs=9, metric="test_error", planned=None, folder=None):
    """A search with these errors (None: failed), of a grid's points, or {value: error} of a field."""
    made = tiny_run.recipe(epochs=epochs)
    varied = parse_search_space(made, over)
    settings = (
        list(grid_points(varied)) if isinstance(errors, list) else [{"lr": lr} for lr in errors]
    )
    tried = []
    for number, error in enumerate(errors if isinstance(errors, list) else errors.values()):
        known = {"number": number, "values": settings[number], "seconds": 1.0}
        if error is None:
            tried.append(Trial(**known, state=FAILED, reason="nan"))
        else:
            figures = {"test_error": error, "test_loss": error / 10}
            tried.append(Trial(**known, state=COMPLETE, figures=figures))
    return TuneResult(
        output_dir=folder,
        title="tiny on made",
        recipe=made,
        dimensions=varied,
        trials=tried,
        planned=planned or len(tried),
        task=get_task("classification"),
        metric=metric,
        mode="min",
        num_eval_samples=tests,
    )


def test_the_edge_of_what_was_tried_is_told():
    lr = {"lr": "0.05,0.1,0.2,0.4"}
    assert outcome(lr, [30, 20, 25, 40]).warnings() == []
    [low] = outcome(lr, [20, 25, 30, 40]).warnings()
    assert low.startswith("The best lr, 0.05, lies at the low end of the search space")
    [high] = outcome(lr, [40, 35, 30, 20]).warnings()
    assert high.startswith("The best lr, 0.4, lies at the high end")
    assert outcome(lr, [40, 35, 20, None]).warnings() == []  # above it, runs diverge
    assert outcome({"weight_decay": "0,1e-4,1e-3"}, [20, 30, 40]).warnings() == []
    assert outcome({"optimizer": "sgd,adamw"}, [20, 30]).warnings() == []
    assert outcome({"seed": "1,2,3"}, [20, 30, 40]).warnings() == []
    spread = {"lr": "0.01..1:log"}
    assert outcome(spread, {0.0126: 20.0, 0.1: 40.0}).warnings() == []
    [near] = outcome(spread, {0.0125: 20.0, 0.1: 40.0}).warnings()
    assert "low end" in near
    assert outcome({"lr": "0.01..1"}, {0.06: 20.0, 0.5: 40.0}).warnings() == []
    [near] = outcome({"lr": "0.01..1"}, {0.05: 20.0, 0.5: 40.0}).warnings()
    assert "low end" in near


def test_trials_within_the_interval_are_reported_as_ties():
    over = {"optimizer": "sgd,adamw", "nesterov": "true,false"}
    assert outcome(over, [20.0, 25.0, 24.0, None], tests=1000).warnings() == []
    [tie] = outcome(over, [20.0, 25.0, 22.5, None], tests=1000).warnings()
    assert tie == (
        "Best and second (trials 0 and 2) differ by 2.50 points of error, less than the 95 % "
        "interval of 1,000 images (17.64 to 22.59 %), which holds 1 of the 2 others: the "
        "difference is not significant."
    )
    assert outcome(over, [20.0, 25.0, 22.5, None], tests=2000).warnings() == []
    [short] = outcome(over, [20.0, 40.0], epochs=3).warnings()
    assert short.startswith("Early trends need not last: a run of 3 epochs")
    nothing = outcome(over, [None, None])
    assert (nothing.best, nothing.setting, nothing.warnings()) == (None, "", [])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_a_grid_is_drawn_as_a_map_and_failures_are_hatched():
    over = {"lr": "0.1,0.05", "weight_decay": "1e-4,0"}
    drawn = summary.draw(outcome(over, [30.0, 20.0, None, 25.5], planned=5))
    axes, bar = drawn.axes
    assert sorted(texts(axes)) == ["20.00", "25.50", "30.00", "failed"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.05", "0.1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.0", "0.0001"]
    [where] = [text.get_position() for text in axes.texts if text.get_text() == "20.00"]
    assert where == (1, 0)
    [hatched] = [patch for patch in axes.patches if patch.get_hatch()]
    assert hatched.get_center() == pytest.approx((0, 1))
    assert bar.get_ylabel() == "test error of the last epoch (%)"
    assert drawn.get_suptitle() == "tiny on made: 3 of 5 trials"
    assert drawn.get_supxlabel().startswith("best: lr=0.1,weight_decay=0.0\nThe best lr, 0.1, lies")
    deep = summary.draw(outcome({**over, "seed": "1,2"}, [9, 8, 7, 6, 5, 4, None, None]))
    assert sorted(texts(deep.axes[0])) == ["4.00", "6.00", "8.00", "failed"]
    assert "the best of all trials with its two values, over seed" in deep.get_supxlabel()


def test_a_range_is_drawn_as_points_against_each_field(tmp_path):
    drawn = summary.draw(outcome({"lr": "0.01..1:log"}, {0.02: 30.0, 0.1: 20.0, 0.9: None}))
    [axes] = drawn.axes
    assert axes.get_xscale() == "log"
    points_, ring, failed = axes.collections
    assert sorted(map(tuple, points_.get_offsets().tolist())) == [(0.02, 30.0), (0.1, 20.0)]
    assert ring.get_offsets().tolist() == [[0.1, 20.0]]
    assert failed.get_offsets()[:, 0].tolist() == [0.9]
    linear = summary.draw(outcome({"lr": "0.01..1"}, {0.02: 30.0}, metric="test_loss"))
    assert linear.axes[0].get_xscale() == "linear"
    assert linear.axes[0].get_ylabel() == "test loss of the last epoch"
    for over, errors in (
        ({"lr": "0.01..1"}, {0.5: None}),
        ({"lr": "1,2", "epochs": "3,4"}, [None]),
    ):
        found = outcome(over, errors, folder=tmp_path)
        summary.write_figure(found)
        assert (tmp_path / "trials.png").stat().st_size > 1000
        assert summary.draw(found).get_supxlabel() == "no trial is complete"
