"""Wrong command lines: each ends in an error that names the argument, before TensorFlow is imported."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from newnet_tf.cli import COMMANDS

# Runs each command line of a JSON list in one process in which TensorFlow cannot be imported.
SCRIPT = """
import contextlib, importlib.abc, io, json, sys

class Imported(BaseException):
    pass

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras"):
            raise Imported(name)

sys.meta_path.insert(0, Finder())
from newnet_tf.cli import main

answers = []
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as stop:
            status = stop.code
        except Imported as error:
            status = f"imported {error}"
    answers.append([status, out.getvalue(), err.getvalue()])
json.dump(answers, sys.stdout)
"""
ZOO = "efficientnet_lite0"
NO_FILE = "no such file"
LINES = {  # command line: words of the error
    # names
    "predct lite a.png": "'predict'",
    "predict efficientnet_lit0 IMG": "Did you mean 'efficientnet_lite0'",
    "predict ZOO.imagnet IMG": "Did you mean 'imagenet'",
    "predict ZOO IMG --weights imagnet": "Did you mean 'imagenet'",
    "predict newnet_small IMG": "--allow-untrained",
    "evaluate efficientnet_lit0 --data pics": "Did you mean 'efficientnet_lite0'",
    "export efficientnet_lit0": "Did you mean 'efficientnet_lite0'",
    "export newnet_small": "--allow-untrained",
    "export bad.tflite": "an exported file",
    "quantize efficientnet_lit0 --calibration-images many": "'efficientnet_lite0'",
    "bundle efficientnet_lit0": "'efficientnet_lite0'",
    "web efficientnet_lit0": "'efficientnet_lite0'",
    "verify bad.tflite --model efficientnet_lit0": "Did you mean 'efficientnet_lite0'",
    "finetune efficientnet_lit0 --data pics": "'efficientnet_lite0'",
    "finetune newnet_small --data pics": "no public weights",
    "train newnet_smal --data pics --recipe talk": "'newnet_small'",
    "tune newnet_smal --data pics --recipe finetune": "'newnet_small'",
    "convert efficientnet_lit0 bad.pth -o x.npz": "'efficientnet_lite0'",
    "benchmark newnet_smal": "Did you mean 'newnet_small'",
    "profile newnet_smal": "Did you mean 'newnet_small'",
    "info rexnet_101": "rexnet_100",
    # files and folders
    "predict ZOO none.jpg": f"none.jpg: {NO_FILE}",
    "predict ZOO empty": "`folder` must hold images",
    "predict none.keras IMG": f"none.keras: {NO_FILE}",
    "predict none.tflite IMG": f"none.tflite: {NO_FILE}",
    "predict empty IMG": "empty must be the folder of a run",
    "predict ZOO IMG --weights none.pth": f"`weights` (--weights) must be an existing file. Received: none.pth: {NO_FILE}",  # noqa: E501
    "predict ZOO IMG --labels none.txt": "none.txt",
    "predict ZOO IMG --labels two.txt": "must name 1000 classes, as the model has scores. Received: 2",
    "predict ZOO IMG --preprocess none.json": "none.json",
    "evaluate ZOO --data none": "Received: 'none', where nothing is",
    "evaluate ZOO --data cifar11": "Did you mean 'cifar10'",
    "evaluate ZOO --data empty": "must hold images. Received: 'empty': none in 'empty', it is empty",
    "evaluate ZOO --data none.csv": "none.csv",
    "evaluate ZOO --data pics --images-dir none": "must come with a CSV or COCO file",
    "train newnet_small --data none --recipe talk": "where nothing is",
    "train newnet_small --data pics --recipe talk --weights none.pth": NO_FILE,
    "tune newnet_small --data none --recipe finetune": "where nothing is",
    "finetune ZOO --data none": "where nothing is",
    "finetune ZOO --data pics --weights none.pth": NO_FILE,
    "convert ZOO none.pth -o x.npz": "must be an existing file",
    "export ZOO --images none": "`validation_images` (--images) must be a folder of 2 images or more. Received: none: no such folder",  # noqa: E501
    "export ZOO --images empty": "empty: 0",
    "export ZOO --calibration-images pics/train --precision int8-full": "of 10 images or more. Received: pics/train: 6",  # noqa: E501
    "export ZOO -o two.txt": "`output` (--output) must be a folder",
    "export ZOO -o two.txt/inside": "two.txt is a file",
    "quantize ZOO --calibration-images none": "none: no such folder",
    "quantize ZOO --calibration-images many --images none": "none: no such folder",
    "verify none.tflite": f"none.tflite: {NO_FILE}",
    "verify two.txt": "Received: two.txt",
    "bundle ZOO -o empty": "`output` must be new, or be a bundle",
    "bundle ZOO --images none": "none: no such folder",
    "bundle --check none": "none must be a bundle",
    "web ZOO -o two.txt": "`output` (--output) must be a folder",
    "web ZOO --example none.png": "none.png",
    "web ZOO --assets none": "Received: none, where it is not",
    "benchmark none.tflite": NO_FILE,
    "demo --image none.png": NO_FILE,
    "data info --data none": "where nothing is",
    "data prepare imagnet": "Did you mean 'imagenet'",
    # values
    "predict ZOO IMG --task clasification": "Did you mean 'classification'",
    "predict ZOO IMG --activation relu7": "Did you mean 'relu'",
    "predict ZOO IMG --top 0": "`top` (--top) must be a positive whole number. Received: 0",
    "predict ZOO IMG --preprocess-as tf --preprocess two.txt": "must not be given together",
    "evaluate ZOO --data pics --split tset": "Did you mean 'test'",
    "evaluate ZOO --data pics --batch-size 0": "(--batch-size)",
    "evaluate ZOO --data pics --validation-split 2": "(--validation-split)",
    "export ZOO --precision fp23": "precision='fp23'. Did you mean 'fp32'",
    "export ZOO --to tflit": "--to must be among tflite, saved_model, onnx. Received: 'tflit'",
    "export ZOO --classes 0": "(--classes)",
    "export ZOO --io-dtype int8": "io_dtype='int8'",
    "finetune ZOO --data pics --precision fp23": "Did you mean 'fp32'",
    "finetune ZOO --data pics --set warmp=3": "Did you mean 'warmup'",
    "finetune ZOO --data pics --image-size 0": "(--image-size)",
    "train newnet_small --data pics --recipe tlk": "Did you mean 'talk'",
    "train newnet_small --data pics --recipe talk --epochs x": "--epochs must be a whole number",
    "train newnet_small --data pics --recipe talk --checkpoint-every 0": "(--checkpoint-every)",
    "quantize ZOO --calibration-images many --exclude-layers 3 --max-accuracy-drop 1": "must not be given with",  # noqa: E501
    "benchmark newnet_small --runs 0": "(--runs)",
    "benchmark newnet_small --threads 0": "(--threads)",
    "bundle ZOO --digest abc": "--digest must come with --check",
    "data show --data pics --count 0": "(--count)",
    "list --table lite": "Did you mean 'light'",
    # options
    "export ZOO --presision fp32": "unknown option. Received: --presision. Did you mean '--precision'",
    "quantize ZOO --calibration-image=many --jsn": "Did you mean '--json'",
    "predict": "MODEL, IMAGE must be given",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What every command line of `LINES`, and every command with `--help`, answers."""
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "empty").mkdir()
    (folder / "two.txt").write_text("cat\ndog\n")
    (folder / "bad.tflite").write_text("no file of TFLite")
    (folder / "bad.pth").write_text("no checkpoint")
    (folder / "many").mkdir()
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (folder / "pics" / place).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8)).save(folder / "pics" / place / f"{number}.png")
    for number in range(10):
        Image.new("RGB", (8, 8)).save(folder / "many" / f"{number}.png")
    words = {"ZOO": ZOO, "IMG": "pics/train/cat/0.png"}
    lines = [
        [
            next((part.replace(k, v) for k, v in words.items() if k in part), part)
            for part in line.split()
        ]
        for line in LINES
    ]
    lines += [[name, "--help"] for name in COMMANDS]
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
        timeout=300,
    )
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["bad.pth", "bad.tflite", "empty", "many", "pics", "two.txt"]
    keys = [*LINES, *(f"{name} --help" for name in COMMANDS)]
    return dict(zip(keys, json.loads(run.stdout), strict=True))


@pytest.mark.parametrize("line", LINES)
def test_a_wrong_argument_is_named_before_tensorflow_is_imported(line, answers):
    status, out, err = answers[line]
    assert status in (1, 2), (status, err)
    assert out == ""
    assert "error: " in err
    assert LINES[line] in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_no_tensorflow(command, answers):
    status, out, _ = answers[f"{command} --help"]
    assert status == 0
    assert f"usage: newnet {command}" in out
