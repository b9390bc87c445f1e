"""From a tag to a converted file: against a real HTTP hub on loopback, and installed packages."""

import hashlib
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
    """Returns what each step said, and the lines on stderr that are ours."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    said = [line for line in err.splitlines() if line.startswith("newnet_tf: ")]
    return [json.loads(line) for line in out.splitlines()], said


def ask(home, hub, *steps, **environment):
    """Starts a process and waits for it."""
    return finish(start(home, hub, *steps, **environment))


def files(home):
    """Names of the files under `home`, the hub's own bookkeeping and locks excepted."""
    found = [p for p in Path(home).rglob("*") if not p.is_dir() and p.suffix != ".lock"]
    return sorted(p.name for p in found if p.name not in ("CACHEDIR.TAG", "main", ".gitignore"))


@pytest.fixture(scope="module")
def gone():
    """The address of a hub that has stopped."""
    with HubFile(REPO, FILE) as hub:
        return hub.url


def test_download_once_keep_the_commit_then_need_no_network(tmp_path, gone):
    with HubFile(REPO, FILE) as hub:
        process = start(tmp_path, hub.url, "obtain", "forget", "wait", "obtain")
        first, _ = (json.loads(process.stdout.readline()) for _ in range(2))
        hub.commit = "d" * 40  # the branch moves on
        hub.files["model.safetensors"] = safetensors.numpy.save({"other": np.ones(2, "f4")})
        process.stdin.write("\n")
        (_, again), said = finish(process)
    assert first["digest"] == OURS
    assert first["file"] == f"{STEM}.{SHA256[:12]}.safetensors"
    assert (first["sha256"], first["license"]) == (SHA256, "MIT")
    assert COMMIT in first["source"]
    assert (again, hub.count("GET")) == (first, 1)
    assert len(said) == 2  # one for each conversion
    assert all(word in said[0] for word in (REPO, COMMIT, "MIT", "nobody"))
    pin = json.loads((tmp_path / "newnet" / "weights" / f"{STEM}.json").read_text())
    source = {"repo": REPO, "file": "model.safetensors", "revision": "main"}
    assert pin == source | {"commit": COMMIT, "sha256": SHA256}

    (answer,), said = ask(tmp_path, gone, "obtain")
    assert (answer, said) == (first, [])


def test_a_transfer_cut_short_is_an_error_and_leaves_no_file(tmp_path):
    with HubFile(REPO, FILE, cut=len(FILE) // 2) as hub:
        (answer,), _ = ask(tmp_path, hub.url, "obtain")
    assert "tiny.test_in1k" in answer["error"]
    assert f"hub file {REPO}/model.safetensors at main" in answer["error"]
    assert "Received: weights='test_in1k'" in answer["error"]
    assert hub.count("GET") > 1
    assert files(tmp_path) == []


def test_a_corrupt_file_of_the_right_size_is_deleted_then_a_good_one_taken(tmp_path):
    with HubFile(REPO, FILE, corrupt=True) as hub:
        for links in ({}, {"HF_HUB_DISABLE_SYMLINKS": "1"}):  # the cache has two forms
            (answer,), said = ask(tmp_path, hub.url, "obtain", **links)
            assert f"not {SHA256}; it was deleted, try again" in answer["error"]
            assert (files(tmp_path), said) == ([], [])
    with HubFile(REPO, FILE) as hub:
        (answer,), said = ask(tmp_path, hub.url, "obtain")
    assert (answer["digest"], len(said), hub.count("GET")) == (OURS, 1, 1)


def test_the_cards_own_digest_comes_first(tmp_path):
    with HubFile(REPO, FILE) as hub:
        (answer,), _ = ask(tmp_path, hub.url, "obtain-exact")
    assert f"has the digest {SHA256}, not {'0' * 64}" in answer["error"]
    assert files(tmp_path) == []


def test_offline_and_unreachable_hubs_say_so(tmp_path, gone):
    (answer,), _ = ask(tmp_path, gone, "obtain", HF_HUB_OFFLINE="1")
    assert "offline (HF_HUB_OFFLINE is set) and not in the hub's cache" in answer["error"]
    assert "or be the path of a checkpoint file" in answer["error"]
    (answer,), _ = ask(tmp_path, gone, "obtain")
    assert "refused" in answer["error"]
    with HubFile("timm/another", FILE) as hub:
        (answer,), _ = ask(tmp_path, hub.url, "obtain")
    assert "404" in answer["error"]


def test_two_processes_at_once(tmp_path):
    with HubFile(REPO, FILE) as hub:
        both = [start(tmp_path, hub.url, "obtain") for _ in range(2)]
        answers = [finish(process) for process in both]
    assert [answer["digest"] for (answer,), _ in answers] == [OURS, OURS]
    told = [line for _, said in answers for line in said if "converting" in line]
    assert (len(told), hub.count("GET")) == (1, 1)


def test_a_public_network_by_its_tag(tmp_path):
    model = rexnet.ReXNet100(weights=None)
    names = rexnet.timm_names()
    random = np.random.default_rng(0)
    ours, theirs = {}, {}
    leaves = {"gamma": "weight", "beta": "bias", "kernel": "weight", "bias": "bias"}
    leaves |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    for layer in model.layers:
        for variable in layer.weights:
            value = random.uniform(0.5, 1.5, variable.shape).astype("f4")
            ours[f"{layer.name}/{variable.name}"] = value
            if value.ndim == 4:
                depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
                value = value.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
            value = value[:, :, 0, 0] if layer.name == "classifier" and value.ndim == 4 else value
            key = f"{names[layer.name]}.{leaves[variable.name]}"
            theirs[key] = np.ascontiguousarray(value)
    with HubFile("timm/rexnet_100.nav_in1k", safetensors.numpy.save(theirs)) as hub:
        process = start(tmp_path, hub.url, "rexnet", "wait", "rexnet")
        first = json.loads(process.stdout.readline())
    process.stdin.write("\n")  # the hub has stopped
    (_, again), said = finish(process)
    assert first == again == {"digest": digest(ours), "torch": False}
    assert len(said) == 1
    assert "timm/rexnet_100.nav_in1k" in said[0]
    assert "license MIT" in said[0]


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
    made = []
    build = hub_client.build
    monkeypatch.setattr(hub_client, "build", lambda classes: made.append(classes) or build(classes))
    return made


def test_a_package_is_converted_once_and_then_not_needed(package, builds, tmp_path, capsys):
    path = fetch.obtain(target(), weights(package))
    assert path == tmp_path / "home" / "weights" / f"{STEM}.{package.sha256[:12]}.safetensors"
    assert digest(reader.read(path).tensors) == OURS
    said = capsys.readouterr()
    assert said.err.count("newnet_tf: ") == 1
    assert "the package tiny-weights (license MIT, by nobody)" in said.err
    assert said.out == ""
    (tmp_path / "site" / "tiny_weights" / "models" / "tiny.pth").unlink()
    assert fetch.obtain(target(), weights(package)) == path
    assert capsys.readouterr().err == ""
    assert builds == [4]


@pytest.mark.parametrize("place", [3, 40, 100, 160, 220, 300, -5])
def test_a_damaged_conversion_is_made_again(package, builds, place):
    path = fetch.obtain(target(), weights(package))
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert fetch.obtain(target(), weights(package)) == path
    assert digest(reader.read(path).tensors) == OURS
    assert builds == [4, 4]


def test_a_damaged_conversion_that_cannot_be_made_again_is_removed(package, tmp_path):
    path = fetch.obtain(target(), weights(package))
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "site" / "tiny_weights" / "models" / "tiny.pth").unlink()
    with pytest.raises(CheckpointError, match=r"pip install tiny-weights"):
        fetch.obtain(target(), weights(package))
    assert not path.exists()


def test_sources_are_tried_in_order_and_all_reasons_told(package, tmp_path):
    absent = PackageFile(distribution="no-such", module="no_such_module", file="x", sha256="0" * 64)
    path = fetch.obtain(target(), weights(absent, package))
    assert package.sha256[:12] in path.name
    path.unlink()
    (tmp_path / "site" / "tiny_weights" / "models" / "tiny.pth").write_bytes(b"other")
    with pytest.raises(CheckpointError) as caught:
        fetch.obtain(target(), weights(absent, package))
    text = str(caught.value)
    assert "package no-such: not installed here (pip install no-such)" in text
    assert f"not {package.sha256} (pip install --force-reinstall tiny-weights)" in text
    assert "be the path of a checkpoint file" in text


def test_a_file_that_does_not_fit_is_not_kept(package, tmp_path, monkeypatch):
    build = hub_client.build
    monkeypatch.setattr(hub_client, "build", lambda classes: build(classes + 1))
    with pytest.raises(CheckpointError, match="2 shapes that differ"):
        fetch.obtain(target(), weights(package))
    assert files(tmp_path / "home") == []
