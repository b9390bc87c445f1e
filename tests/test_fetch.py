"""From a tag to a converted file: against a real HTTP hub on loopback, and installed packages."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import hub_client
import keras
import numpy as np
import pytest
import safetensors.numpy
import torch_files
from hub_client import REPO, digest, target, weights
from hub_server import COMMIT, HubFile

from newnet_tf.applications import rexnet
from newnet_tf.models.config import PackageFile
from newnet_tf.weights import CheckpointError, fetch, reader

TESTS = Path(__file__).parent
# To import TensorFlow takes longer than all that a child does.
BACKEND = "jax" if importlib.util.find_spec("jax") else "tensorflow"
ARRAYS = {
    "conv.weight": np.arange(24, dtype="f4").reshape(4, 6, 1, 1) / 7,
    "conv.bias": np.arange(4, dtype="f4"),
}
FILE = safetensors.numpy.save(ARRAYS)
SHA256 = hashlib.sha256(FILE).hexdigest()
OURS = digest(
    {
        "classifier/kernel": ARRAYS["conv.weight"].transpose(2, 3, 1, 0),
        "classifier/bias": ARRAYS["conv.bias"],
    }
)
STEM = "tiny.test_in1k"


def start(home, hub, *steps, **environment):
    """Starts a process that asks `hub` (an address) for weights and keeps its files in `home`."""
    environment = {
        "HF_ENDPOINT": hub,
        "KERAS_BACKEND": BACKEND,
        "HF_HOME": f"{home}/hub",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NEWNET_HOME": f"{home}/newnet",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONWARNINGS": "ignore",
    } | environment
    return subprocess.Popen(
        [sys.executable, TESTS / "hub_client.py", *steps],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Returns the result of each step, and our own lines on stderr."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    notes = [line for line in err.splitlines() if line.startswith("newnet: ")]
    return [json.loads(line) for line in out.splitlines()], notes


def ask(home, hub, *steps, **environment):
    """Starts a process and waits for it."""
    return finish(start(home, hub, *steps, **environment))


def files(home):
    """Names of the files under `home`, the hub's own bookkeeping and locks excepted."""
    paths = [p for p in Path(home).rglob("*") if not p.is_dir() and p.suffix != ".lock"]
    return sorted(p.name for p in paths if p.name not in ("CACHEDIR.TAG", "main", ".gitignore"))


@pytest.fixture(scope="module")
def gone():
    """The address of a hub that has stopped."""
    with HubFile(REPO, FILE) as hub:
        return hub.url


def test_download_once_save_the_commit_then_need_no_network(tmp_path, gone):
    with HubFile(REPO, FILE) as hub:
        process = start(tmp_path, hub.url, "download", "forget", "wait", "download")
        first, _ = (json.loads(process.stdout.readline()) for _ in range(2))
        hub.commit = "d" * 40  # the branch moves on
        hub.files["model.safetensors"] = safetensors.numpy.save({"other": np.ones(2, "f4")})
        process.stdin.write("\n")
        (_, again), notes = finish(process)
    assert first["digest"] == OURS
    assert first["file"] == f"{STEM}.{SHA256[:12]}.safetensors"
    assert (first["sha256"], first["license"]) == (SHA256, "MIT")
    assert COMMIT in first["source"]
    assert (again, hub.count("GET")) == (first, 1)
    assert len(notes) == 2  # one for each conversion
    assert all(word in notes[0] for word in (REPO, COMMIT, "MIT", "nobody"))
    pin = json.loads((tmp_path / "newnet" / "weights" / f"{STEM}.json").read_text())
    source = {"repo": REPO, "file": "model.safetensors", "revision": "main"}
    assert pin == source | {"commit": COMMIT, "sha256": SHA256}

    (result,), notes = ask(tmp_path, gone, "download")
    assert (result, notes) == (first, [])


def test_a_transfer_cut_short_is_an_error_and_leaves_no_file(tmp_path):
    with HubFile(REPO, FILE, cut=len(FILE) // 2) as hub:
        (result,), _ = ask(tmp_path, hub.url, "download")
    assert "tiny.test_in1k" in result["error"]
    assert f"hub file {REPO}/model.safetensors at main" in result["error"]
    assert "Received: weights='test_in1k'" in result["error"]
    assert hub.count("GET") > 1
    assert files(tmp_path) == []


def test_a_corrupt_file_of_the_right_size_is_deleted_then_a_good_one_taken(tmp_path):
    with HubFile(REPO, FILE, corrupt=True) as hub:
        for links in ({}, {"HF_HUB_DISABLE_SYMLINKS": "1"}):  # the cache has two forms
            (result,), notes = ask(tmp_path, hub.url, "download", **links)
            assert f"not {SHA256}; it was deleted, try again" in result["error"]
            assert (files(tmp_path), notes) == ([], [])
    with HubFile(REPO, FILE) as hub:
        (result,), notes = ask(tmp_path, hub.url, "download")
    assert (result["digest"], len(notes), hub.count("GET")) == (OURS, 1, 1)


def test_the_cards_own_digest_comes_first(tmp_path):
    with HubFile(REPO, FILE) as hub:
        (result,), _ = ask(tmp_path, hub.url, "download-exact")
    assert f"has the digest {SHA256}, not {'0' * 64}" in result["error"]
    assert files(tmp_path) == []


def test_offline_and_unreachable_hubs_say_so(tmp_path, gone):
    (result,), _ = ask(tmp_path, gone, "download", HF_HUB_OFFLINE="1")
    assert "offline (HF_HUB_OFFLINE is set) and not in the hub's cache" in result["error"]
    assert "or be the path of a checkpoint file" in result["error"]
    (result,), _ = ask(tmp_path, gone, "download")
    assert "refused" in result["error"]
    with HubFile("timm/another", FILE) as hub:
        (result,), _ = ask(tmp_path, hub.url, "download")
    assert "404" in result["error"]


def test_two_processes_at_once(tmp_path):
    with HubFile(REPO, FILE) as hub:
        both = [start(tmp_path, hub.url, "download") for _ in range(2)]
        results = [finish(process) for process in both]
    assert [result["digest"] for (result,), _ in results] == [OURS, OURS]
    conversions = [line for _, notes in results for line in notes if "converting" in line]
    assert (len(conversions), hub.count("GET")) == (1, 1)


def test_a_public_network_by_its_tag(tmp_path):
    model = rexnet.ReXNet100(weights=None)
    names = rexnet.timm_names()
    random = np.random.default_rng(0)
    expected, published = {}, {}
    leaves = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias"}
    leaves |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    for layer in model.layers:
        for variable in layer.weights:
            value = random.uniform(0.5, 1.5, variable.shape).astype("f4")
            expected[f"{layer.name}/{variable.name}"] = value
            if value.ndim == 4:
                depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
                value = value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
            value = value[:, :, 0, 0] if layer.name == "classifier" and value.ndim == 4 else value
            key = f"{names[layer.name]}.{leaves[variable.name]}"
            published[key] = np.ascontiguousarray(value)
    with HubFile("timm/rexnet_100.nav_in1k", safetensors.numpy.save(published)) as hub:
        steps = ("rexnet", "wait", "rexnet")  # JAX compiles each operator by itself
        process = start(tmp_path, hub.url, *steps, KERAS_BACKEND="tensorflow")
        first = json.loads(process.stdout.readline())
    process.stdin.write("\n")  # the hub has stopped
    (_, again), notes = finish(process)
    assert first == again == {"digest": digest(expected), "torch": False}
    assert len(notes) == 1
    assert "timm/rexnet_100.nav_in1k" in notes[0]
    assert "license MIT" in notes[0]


# ---- Installed packages --------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed distribution with a PyTorch file, whose own code must not run."""
    monkeypatch.setenv("NEWNET_HOME", str(tmp_path / "home"))
    folder = tmp_path / "site" / "tiny_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    path = folder / "models" / "tiny.pth"
    torch_files.save_stream(path, ARRAYS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return PackageFile(
        distribution="tiny-weights",
        module="tiny_weights",
        file="models/tiny.pth",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


@pytest.fixture
def builds(monkeypatch):
    """Counts the networks built for converting."""
    built = []
    build = hub_client.build
    monkeypatch.setattr(
        hub_client, "build", lambda classes: built.append(classes) or build(classes)
    )
    return built


def test_a_package_is_converted_once_and_then_not_needed(package, builds, tmp_path, capsys):
    path = fetch.download(target(), weights(package))
    assert path == tmp_path / "home" / "weights" / f"{STEM}.{package.sha256[:12]}.safetensors"
    assert digest(reader.read(path).tensors) == OURS
    notes = capsys.readouterr()
    assert notes.err.count("newnet: ") == 1
    assert "the package tiny-weights (license MIT, by nobody)" in notes.err
    assert notes.out == ""
    (tmp_path / "site" / "tiny_weights" / "models" / "tiny.pth").unlink()
    assert fetch.download(target(), weights(package)) == path
    assert capsys.readouterr().err == ""
    assert builds == [4]


@pytest.mark.parametrize("place", [3, 40, 100, 160, 220, 300, -5])
def test_a_damaged_conversion_is_repeated(package, builds, place):
    path = fetch.download(target(), weights(package))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert fetch.download(target(), weights(package)) == path
    assert digest(reader.read(path).tensors) == OURS
    assert builds == [4, 4]


def test_a_damaged_conversion_that_cannot_be_repeated_is_removed(package, tmp_path):
    path = fetch.download(target(), weights(package))
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "site" / "tiny_weights" / "models" / "tiny.pth").unlink()
    with pytest.raises(CheckpointError, match=r"pip install tiny-weights"):
        fetch.download(target(), weights(package))
    assert not path.exists()


def test_sources_are_tried_in_order_and_all_reasons_listed(package, tmp_path):
    absent = PackageFile(distribution="no-such", module="no_such_module", file="x", sha256="0" * 64)
    path = fetch.download(target(), weights(absent, package))
    assert package.sha256[:12] in path.name
    path.unlink()
    (tmp_path / "site" / "tiny_weights" / "models" / "tiny.pth").write_bytes(b"other")
    with pytest.raises(CheckpointError) as caught:
        fetch.download(target(), weights(absent, package))
    text = str(caught.value)
    assert "package no-such: not installed here (pip install no-such)" in text
    assert f"not {package.sha256} (pip install --force-reinstall tiny-weights)" in text
    assert "be the path of a checkpoint file" in text


def test_a_file_that_does_not_fit_is_not_kept(package, tmp_path, monkeypatch):
    build = hub_client.build
    monkeypatch.setattr(hub_client, "build", lambda classes: build(classes + 1))
    with pytest.raises(CheckpointError, match="2 shapes that differ"):
        fetch.download(target(), weights(package))
    assert files(tmp_path / "home") == []
