"""Malicious and damaged files: what reads them reports an error and continues."""

import contextlib
import os
import signal

import numpy as np
import pytest
import small_network
from PIL import Image
from small_network import PREPROCESS

from newnet_tf.api.image_sets import MIN_CALIBRATION
from newnet_tf.cli import main
from newnet_tf.data.preprocess import normalize
from newnet_tf.data.sample_images import readable_images
from newnet_tf.deploy import config_file, export_tflite, formats, sandbox
from newnet_tf.deploy.flatbuffer.graph import Graph
from newnet_tf.deploy.runtime import ModelFileError, Runner
from newnet_tf.deploy.sandbox import SandboxedRunner
from newnet_tf.profiling import litert_profiler


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file with its record."""
    folder = tmp_path_factory.mktemp("whole")
    images = small_network.images()
    (made,) = export_tflite(
        small_network.logits_network(), PREPROCESS, folder, validation_images=images
    )
    return made.file


@pytest.fixture(scope="module")
def inputs():
    return normalize(small_network.images()[:2], PREPROCESS)


def mutated(data: bytes, seed: int) -> bytes:
    """Returns a file with a few bytes changed, two thirds of the files where its tables lie."""
    generator = np.random.default_rng(seed)
    found = np.frombuffer(data, np.uint8).copy()
    kind, count = seed % 3, int(generator.integers(1, 9))
    start, stop = (8, len(found)) if kind == 0 else (len(found) - 8000, len(found))
    places = generator.integers(start, stop, count)
    if kind == 2:  # a small number that was another small number: an index, a shape
        found[places] = generator.integers(0, 16, count)
    else:
        found[places] ^= generator.integers(1, 256, count).astype(np.uint8)
    return found.tobytes()


def tried(whole, folder, seeds, use) -> dict[str, list[int]]:
    """Uses a mutated file for each seed; returns the seeds by what came of it."""
    outcome = {"answered": [], "refused": [], "crashed": []}
    config, model = config_file.read_config(whole), Graph(whole.read_bytes()).to_bytes()
    for seed in seeds:
        file = folder / f"mutated{seed}.tflite"
        data = mutated(model, seed)
        file.write_bytes(config_file.append_record(data, config))  # as an attacker would
        try:
            use(file)
        except (ModelFileError, ValueError, RuntimeError) as error:
            message = f"{error}"
        else:
            message = ""
        assert not message or (file.name in message and "Received: " in message), message
        kind = "crashed" if "an invalid model" in message else "refused"
        outcome[kind if message else "answered"].append(seed)
    return outcome


def answer(inputs):
    def use(file):
        with contextlib.closing(SandboxedRunner(file)) as runner:
            assert runner(inputs).shape == (2, small_network.CLASSES)

    return use


def verify(file):
    formats.verify_file(small_network.network(), file, small_network.images()[::6], PREPROCESS)


def profile(file):
    litert_profiler.kernel_times(file, runs=1, warmup=0)


def test_a_sandboxed_runner_is_a_runner(whole, inputs):
    here = Runner(whole)
    with SandboxedRunner(whole, threads=2) as runner:
        np.testing.assert_array_equal(runner(inputs), here(inputs))
        assert (runner.image_size, runner.channels, runner.classes) == (64, 3, 10)
        assert (runner.expects_uint8_pixels, runner.output_type, runner.dtype) == (
            False,
            "logits",
            "float32",
        )
        assert runner.config == here.config
        with pytest.raises(ValueError, match=r"must be of shape \(n, 64, 64, 3\)"):
            runner(inputs[:, :32])
        np.testing.assert_array_equal(runner(inputs[:1]), here(inputs[:1]))


def test_a_dead_child_is_an_invalid_model(whole, inputs):
    with SandboxedRunner(whole) as runner:
        os.kill(runner._child.pid, signal.SIGSEGV)
        with pytest.raises(
            ModelFileError, match=r"small\.fp32\.tflite.*an invalid model.*signal 11"
        ):
            runner(inputs)


def test_a_child_that_never_answers_is_ended(whole, inputs, monkeypatch):
    with SandboxedRunner(whole) as runner:
        monkeypatch.setattr(sandbox, "TIMEOUT", 0.5)
        os.kill(runner._child.pid, signal.SIGSTOP)
        with pytest.raises(ModelFileError, match=r"an invalid model.*signal 9"):
            runner(inputs)


def test_mutated_files_are_answered_or_named(whole, inputs, tmp_path):
    outcome = tried(whole, tmp_path, range(10), answer(inputs))
    assert sum(map(len, outcome.values())) == 10
    assert outcome["refused"] or outcome["crashed"]
    tried(whole, tmp_path, [1, 2], verify)
    tried(whole, tmp_path, [1, 2], profile)


@pytest.mark.slow
@pytest.mark.parametrize(("use", "seeds"), [("answer", 200), ("verify", 40), ("profile", 40)])
def test_many_mutated_files(whole, inputs, tmp_path, use, seeds):
    way = {"answer": answer(inputs), "verify": verify, "profile": profile}[use]
    outcome = tried(whole, tmp_path, range(seeds), way)
    print({name: len(found) for name, found in outcome.items()})
    assert sum(map(len, outcome.values())) == seeds
    assert outcome["refused"]


def test_the_command_names_the_file(whole, tmp_path, capsys):
    file = tmp_path / "cut.tflite"
    file.write_bytes(whole.read_bytes()[:-100])
    image = tmp_path / "x.png"
    Image.new("RGB", (8, 8)).save(image)
    for command in (["profile", file], ["predict", file, image]):
        assert main(
            [*map(str, command), *(["--preprocess-as", "newnet_small"] * (command[0] != "profile"))]
        )
        assert "cut.tflite must be a whole TFLite file" in capsys.readouterr().err


# Folders of images to calibrate with.


def folder_of(tmp_path, good=12, small=0):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(good):
        side = 20 if number < small else 80
        Image.fromarray(np.full((side, side + 10, 3), 20 * number, np.uint8)).save(
            folder / f"{number:02}.png"
        )
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder


def test_broken_and_small_images_are_counted(tmp_path, capsys):
    folder = folder_of(tmp_path, small=3)
    found = readable_images(folder, MIN_CALIBRATION, "--calibration-images", 64)
    assert [path.name for path in found] == [f"{number:02}.png" for number in range(12)]
    message = capsys.readouterr().err
    assert "cut.jpg" in message
    assert "empty.png" in message
    assert "notes.txt" not in message
    assert "--calibration-images: 12 readable images of 14" in message
    assert "3 of 12 images are smaller than 64 and are enlarged" in message


@pytest.mark.parametrize("command", ["export", "bundle"])
def test_too_few_images_are_an_error(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, model = folder_of(tmp_path, good=9), tmp_path / "own.keras"
    small_network.network().save(model)
    arguments = [command, str(model), "--preprocess-as", "newnet_small", "--precision", "int8-full"]
    assert main([*arguments, "--calibration-images", str(folder)]) == 1
    message = capsys.readouterr().err
    assert (
        "--calibration-images must hold 10 readable images or more. Received: 9 readable" in message
    )
    assert not (tmp_path / "build").exists()
