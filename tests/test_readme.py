"""The README's examples run as they stand."""

import re
import warnings
from pathlib import Path

import pytest
from PIL import Image

from newnet_tf.cli import parser

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch, images):
    """A folder as the README supposes it: cat.jpg, cup.jpg and photos/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, source in images.items():
        image = Image.open(source).convert("RGB")
        image.save(tmp_path / "photos" / f"{Path(name).stem}.jpg")
    for name, source in (("cat", "chelsea.png"), ("cup", "coffee.png")):
        Image.open(images[source]).convert("RGB").save(tmp_path / f"{name}.jpg", quality=95)
    return tmp_path


def test_python_examples_run(folder, capsys):
    examples = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(examples) == 2
    shared = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for example in examples:
            exec(compile(example, "README.md", "exec"), shared)
    out = capsys.readouterr().out
    assert "tiger_cat" in out
    assert "espresso" in out
    assert (folder / "out" / "efficientnet_lite0.int8-full.tflite").exists()
    assert shared["scores"].shape == (2, 1000)
    assert shared["backbone"].outputs[0].shape == (None, 28, 28, 40)
    assert shared["flowers"].output_shape == (None, 5)


def test_command_lines_are_understood():
    lines = [
        line.split("#")[0].split()[1:] for line in re.findall(r"^    (newnet .*)$", TEXT, re.M)
    ]
    assert len(lines) == 20
    for line in lines:
        arguments = parser().parse_args([word.strip("'") for word in line])
        assert callable(arguments.run)
