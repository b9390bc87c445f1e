"""PyTorch files as people save them: wrapped, nested, averaged, sharded; read by content."""

import json

import numpy as np
import pytest
import safetensors.numpy
import torch_files
from filled import NAMES, as_torch, assert_same, paint, tiny, tiny_target
from torch_files import Call, Name, Raw

from newnet_tf import weights
from newnet_tf.weights import CheckpointError, reader

SOURCE, BLANK = tiny(6), tiny(6)
PLAIN = {name: tensor.copy() for name, tensor in as_torch(SOURCE, NAMES).items()}
OTHER = {name: tensor + 1 for name, tensor in PLAIN.items()}
NAMESPACE = Raw(b"cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x01sb")
OPTIMIZER = {"state": {0: {"exp_avg": np.ones(2, "f4")}}, "param_groups": [{"lr": 0.1}]}
LOSS = np.array(0.25, "f4")


def below(prefix, tensors=PLAIN):
    """Returns the tensors with `prefix` before their names."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def loaded(path, **options):
    """Loads a file into the blank model; returns it and the report."""
    paint(BLANK, seed=9)
    return BLANK, weights.load(BLANK, path, tiny_target(), **options)


CASES = {
    "plain": (PLAIN, ""),
    "module": (below("module."), "module"),
    "compiled": (below("_orig_mod."), ""),
    "module_compiled": (below("module._orig_mod."), "module._orig_mod"),
    "compiled_inside": (
        {k.replace("features.", "features._orig_mod."): v for k, v in PLAIN.items()},
        "",
    ),
    "model": (below("model."), "model"),
    "backbone": (below("backbone."), "backbone"),
    "stack": (below("net.encoder.module."), "net.encoder.module"),
    "averaged_model": ({"n_averaged": np.array(7)} | below("module."), "module"),
    "tutorial": ({"epoch": 3, "model_state_dict": PLAIN, "loss": LOSS}, "model_state_dict"),
    "optimizer": ({"state_dict": PLAIN, "optimizer": OPTIMIZER, "acc": LOSS}, "state_dict"),
    "scalar_inside": (PLAIN | {"epoch": np.array(3), "loss": LOSS}, ""),
    "criterion": (below("model.") | {"criterion.weight": np.ones(6, "f4")}, "model"),
    "lightning": (
        {
            "state_dict": below("model."),
            "hyper_parameters": Raw(b"clightning\nAttributeDict\n)\x81X\x02\0\0\0lrK\x01s"),
            "callbacks": {"EarlyStopping{'monitor': 'x'}": {"best_score": LOSS}},
            "optimizer_states": [OPTIMIZER],
            "loops": {"fit_loop": {"state_dict": {}}},
        },
        "state_dict/model",
    ),
    "timm": (
        {"state_dict": OTHER, "state_dict_ema": PLAIN, "args": NAMESPACE, "version": 2},
        "state_dict_ema",
    ),
    "torchvision": (
        {
            "model": OTHER,
            "optimizer": OPTIMIZER,
            "args": NAMESPACE,
            "model_ema": {"n_averaged": np.array(7)} | below("module."),
        },
        "model_ema/module",
    ),
    "own_key": ({"generator": {"conv.weight": np.ones(3, "f4")}, "mine": PLAIN}, "mine"),
    "deep": ({"a": {"b": [{"c": PLAIN}]}}, "a/b/0/c"),
    "halves": (
        {
            "features": {k[9:]: v for k, v in PLAIN.items() if k.startswith("features.")},
            "head": {k[5:]: v for k, v in PLAIN.items() if k.startswith("head.")},
        },
        "",
    ),
    "two_names": (below("model.") | below("net."), "model"),
    "counter": (
        {"state_dict": PLAIN, "scheduler": Call(Name("collections", "Counter"), ({},))},
        "state_dict",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_wrapped_state_dicts_give_the_numbers_of_the_plain_one(tmp_path, name):
    saved, place = CASES[name]
    path = tmp_path / f"{name}.ckpt"
    torch_files.save_zip(path, saved)
    model, report = loaded(path)
    assert_same(model, SOURCE)
    assert (report.state_dict, report.newly_initialized) == (place, ())


def test_entries_beside_the_weights_are_named_and_nothing_else(tmp_path):
    torch_files.save_zip(tmp_path / "a.pth", CASES["torchvision"][0])
    _, report = loaded(tmp_path / "a.pth")
    counters = {name for name in report.skipped if name.endswith("num_batches_tracked")}
    assert set(report.skipped) - counters == {"model", "optimizer", "args", "model_ema/n_averaged"}


def test_averaged_weights_are_taken_and_said_and_others_can_be_chosen(tmp_path, capsys):
    torch_files.save_zip(tmp_path / "a.pth", CASES["torchvision"][0])
    loaded(tmp_path / "a.pth")
    assert "a.pth: took the weights 'model_ema/module', not 'model'" in capsys.readouterr().err
    raw = tiny(6)
    weights.load(raw, tmp_path / "a.pth", tiny_target(), state_dict="model")
    np.testing.assert_array_equal(raw.get_layer("norm").gamma, OTHER["features.1.weight"])
    for choice in ("model_ema", "model_ema/module."):
        model, report = loaded(tmp_path / "a.pth", state_dict=choice)
        assert_same(model, SOURCE)
        assert report.state_dict == "model_ema/module"
    assert capsys.readouterr().err == ""
    with pytest.raises(
        CheckpointError, match=r"among 'model_ema/module', 'model'. Received: .*'x'"
    ):
        loaded(tmp_path / "a.pth", state_dict="x")


def test_several_weights_that_differ_are_listed_not_guessed(tmp_path):
    saved = {"student": below("backbone."), "teacher": below("backbone.", OTHER)}
    torch_files.save_zip(tmp_path / "a.pth", saved)
    with pytest.raises(
        CheckpointError, match=r"'student/backbone', 'teacher/backbone'.*--state-dict"
    ):
        loaded(tmp_path / "a.pth")
    model, _ = loaded(tmp_path / "a.pth", state_dict="student")
    assert_same(model, SOURCE)


def test_values_of_weights_that_are_not_taken_do_not_matter(tmp_path):
    bad = {name: tensor * np.float32("nan") for name, tensor in PLAIN.items()}
    torch_files.save_zip(tmp_path / "a.pth", {"model": bad, "ema": PLAIN})
    assert_same(loaded(tmp_path / "a.pth")[0], SOURCE)
    with pytest.raises(CheckpointError, match="nan or infinite"):
        loaded(tmp_path / "a.pth", state_dict="model")


def test_a_foreign_wrapped_checkpoint_is_still_refused(tmp_path):
    torch_files.save_zip(tmp_path / "a.pth", {"state_dict": {"a.weight": np.ones((3, 3), "f4")}})
    with pytest.raises(CheckpointError, match=r"no variable for: state_dict/a\.weight"):
        loaded(tmp_path / "a.pth")
    torch_files.save_zip(tmp_path / "a.pth", below("model.") | {"model.x.weight": np.ones(3, "f4")})
    with pytest.raises(CheckpointError, match=r"1 tensors .* no variable for: model\.x\.weight"):
        loaded(tmp_path / "a.pth")


def test_two_tensors_of_one_name_are_refused(tmp_path):
    torch_files.save_zip(tmp_path / "a.pth", {"m": PLAIN} | below("m.", OTHER))
    with pytest.raises(CheckpointError, match="have the same name"):
        loaded(tmp_path / "a.pth")


def test_auxiliary_heads_are_left_out_and_said(tmp_path):
    extra = {"AuxLogits.fc.weight": np.ones((6, 4), "f4"), "AuxLogits.fc.bias": np.ones(6, "f4")}
    torch_files.save_zip(tmp_path / "a.pth", PLAIN | extra)
    model, report = loaded(tmp_path / "a.pth")
    assert_same(model, SOURCE)
    assert set(extra) < set(report.skipped)


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_shards_are_read_through_their_index(tmp_path, suffix):
    names = list(PLAIN)
    parts = {f"model-0000{i}-of-00002.{suffix}": names[i - 1 :: 2] for i in (1, 2)}
    for file, part in parts.items():
        tensors = {name: PLAIN[name] for name in part}
        if suffix == "bin":
            torch_files.save_zip(tmp_path / file, tensors)
        else:
            (tmp_path / file).write_bytes(safetensors.numpy.save(tensors))
    index = tmp_path / f"model.{suffix}.index.json"
    weight_map = {name: file for file, part in parts.items() for name in part}
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert_same(loaded(index)[0], SOURCE)
    with pytest.raises(CheckpointError, match=r"one of 2 shards: pass the \.index\.json"):
        loaded(tmp_path / next(iter(parts)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "begins with|not JSON"),
        ('{"a": 1}', "no 'weight_map' .* it has 'a'"),
        ('{"weight_map": {"a": "../b.bin"}}', "is not the name of a file beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "is not the name of a file beside it"),
        ('{"weight_map": {"a": 3}}', "is not the name of a file beside it"),
        ('{"weight_map": {"a": "none.bin"}}', "'none.bin' must be an existing file"),
        ('{"weight_map": {"a": "m.index.json"}}', "a shard of PyTorch or safetensors"),
        ('{"weight_map": {"a": "shard.bin"}}', "shard 'shard.bin' has no tensor 'a'"),
    ],
)
def test_an_index_that_points_elsewhere_is_refused(tmp_path, text, problem):
    torch_files.save_zip(tmp_path / "shard.bin", PLAIN)
    (tmp_path / "m.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"{problem}.*Received: "):
        reader.read(tmp_path / "m.index.json")


@pytest.mark.parametrize("save", [torch_files.save_zip, torch_files.save_stream])
def test_the_content_decides_which_kind_of_file_it_is(tmp_path, save):
    path = tmp_path / "weights.npz"
    save(path, PLAIN)
    assert_same(loaded(path)[0], SOURCE)
    path = tmp_path / "weights.pth"
    path.write_bytes(safetensors.numpy.save(PLAIN))
    assert_same(loaded(path)[0], SOURCE)
    weights.save(SOURCE, tmp_path / "a.npz").rename(tmp_path / "a.bin")
    assert_same(loaded(tmp_path / "a.bin")[0], SOURCE)
    weights.save(SOURCE, tmp_path / "a.keras").rename(tmp_path / "model")
    assert_same(loaded(tmp_path / "model")[0], SOURCE)


def test_a_whole_pickled_module_is_read_without_its_class(tmp_path):
    def pickled(tensors):
        inner = {}
        for name, tensor in tensors.items():
            head, _, rest = name.partition(".")
            if rest:
                inner.setdefault(head, {})[rest] = tensor
        state = {
            "training": False,
            "_parameters": {n: t for n, t in tensors.items() if "." not in n} | {"none": None},
            "_buffers": {"scratch": np.ones(2, "f4")},
            "_non_persistent_buffers_set": Call(Name("__builtin__", "set"), (["scratch"],)),
            "_modules": {name: pickled(part) for name, part in inner.items()},
        }
        return torch_files.Instance(Name("__main__", "Net"), state)

    torch_files.save_zip(tmp_path / "a.pt", pickled(PLAIN))
    model, report = loaded(tmp_path / "a.pt")
    assert_same(model, SOURCE)
    torch_files.save_zip(tmp_path / "b.pt", {"model": pickled(OTHER), "ema": pickled(PLAIN)})
    model, report = loaded(tmp_path / "b.pt")
    assert_same(model, SOURCE)
    assert report.state_dict == "ema"
