"""The search space of `newnet tune`: ranges as they are read, and what is drawn from them."""

import pytest
import tiny_run
import tiny_tuning

from newnet_tf.training.tuning.search_space import default_search_space, parse_search_space
from newnet_tf.training.tuning.trial_storage import TrialStorage


def journal(path, sampler, over, planned=8):
    dimensions = parse_search_space(tiny_run.recipe(), over)
    return TrialStorage(path, dimensions, sampler, planned, 3, {})


def test_trials_left_behind_half_drawn_are_taken_up(tmp_path):
    first = journal(tmp_path, "grid", tiny_tuning.FEW, 4)
    with first.locked():
        first.study.enqueue_trial({"lr": 0.05, "weight_decay": 0.0})
        first.study.ask().suggest_categorical("lr", tiny_tuning.FEW["lr"])
        first.study.enqueue_trial({"lr": 0.02, "weight_decay": 0.0})  # and not even asked for
    second = journal(tmp_path, "grid", tiny_tuning.FEW, 4)
    leases = [second.lease() for _ in range(4)]
    assert [lease.is_resumed for lease in leases] == [True, False, False, False]
    assert [lease.values["lr"] for lease in leases[:2]] == [0.05, 0.02]
    assert len({tuple(lease.values.values()) for lease in leases}) == 4
    assert second.lease() is None
    assert journal(tmp_path, "grid", tiny_tuning.FEW, 4).lease() is None  # all are held
    leases[2].lock.release()
    assert journal(tmp_path, "grid", tiny_tuning.FEW, 4).lease().values == leases[2].values


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_draws_hang_on_seed_and_number_alone(sampler, tmp_path):
    over = {"lr": "0.02..0.4:log", "batch_size": "8..64", "optimizer": "sgd,adamw"}

    def drawn(path, processes):
        shared = [journal(path, sampler, over) for _ in range(processes)]
        leases = [shared[number % processes].lease() for number in range(8)]
        assert shared[0].lease() is None
        return [lease.values for lease in leases]

    alone, shared = drawn(tmp_path / "alone", 1), drawn(tmp_path / "shared", 2)
    assert alone == shared
    assert len({found["lr"] for found in alone}) == 8
    for found in alone:
        assert 0.02 <= found["lr"] <= 0.4
        assert found["lr"] == float(f"{found['lr']:.3g}")
        assert isinstance(found["batch_size"], int)
        assert 8 <= found["batch_size"] <= 64
        assert found["optimizer"] in ("sgd", "adamw")


def test_what_is_varied_is_read_by_the_fields_type():
    def text(**over):
        return [str(one) for one in parse_search_space(tiny_run.recipe(), over)]

    assert text(lr="0.02..0.4:log") == ["lr=0.02..0.4:log"]
    assert text(batch_size="8..64", dropout="none, 0.2") == ["batch_size=8..64", "dropout=none,0.2"]
    assert text(nesterov="true,false", seed=[1, 2]) == ["nesterov=true,false", "seed=1,2"]
    [pair] = parse_search_space(tiny_run.recipe(), {"augmentation.scale": "0.08,1/0.5,1"})
    assert pair.choices == ((0.08, 1.0), (0.5, 1.0))
    assert str(pair) == "augmentation.scale=0.08,1.0/0.5,1.0"
    [lr] = parse_search_space(tiny_run.recipe(), {"lr": "0.02..0.4"})
    assert (lr.value(0.0234567), lr.value(0.39999)) == (0.0235, 0.4)
    assert default_search_space(tiny_run.recipe(lr=0.1, weight_decay=0.0)) == {
        "lr": (0.033, 0.1, 0.3),
        "weight_decay": (0.0, 1e-5, 1e-4),
    }
    assert default_search_space(tiny_run.recipe(weight_decay=5e-4))["weight_decay"] == (
        1.7e-4,
        5e-4,
        1.5e-3,
    )


@pytest.mark.parametrize(
    ("name", "what", "match"),
    [
        ("lrr", "0.1,0.2", "Received: 'lrr'. Did you mean 'lr'"),
        ("cutmix", "0,1", "Did you mean 'augmentation.cutmix_alpha'"),
        ("lr", "0.1", r"a range, or two choices or more, each once .*Received: 0\.1$"),
        ("lr", 0.1, "two choices or more"),
        ("lr", "0.1,1e-1", "each once"),
        ("lr", "fast,slow", r"`lr` must be float\. Received: lr='fast'"),
        ("lr", "0.4..0.02", r"a range that rises .*Received: lr=0\.4\.\.0\.02"),
        ("lr", "0.1..0.2:lin", "`lr` must be float"),
        ("weight_decay", "0..0.1:log", "a range above 0 to be sampled logarithmically"),
        ("optimizer", "adamw..sgd", "`optimizer` must have choices: it is not a number"),
        ("optimizer", "sgd,adam", r"every setting must be a recipe: `optimizer` .*\(in optimizer=adam"),
        ("momentum", "0.5..1", r"lie in 0 to below 1.*\(in momentum=1\.0"),
        ("augmentation.scale", "0.1..1", "it is not a number"),
    ],
)  # fmt: skip
def test_wrong_ranges_say_what_is_known(name, what, match):
    with pytest.raises(ValueError, match=match):
        parse_search_space(tiny_run.recipe(), {name: what})
