"""The README's examples run as they stand."""

import re
import warnings
from pathlib import Path

import pytest
from PIL import Image

from newnet_tf.cli import parser
from newnet_tf.data.sample_images import sample_crops

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
CAT = ("tabby", "tiger_cat", "Egyptian_cat")
IMAGES_PER_CLASS = 12


@pytest.fixture
def folder(tmp_path, monkeypatch, images):
    """A folder with what the README's examples read: cat.jpg, cup.jpg, photos/ and flowers/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, source in images.items():
        image = Image.open(source).convert("RGB")
        image.save(tmp_path / "photos" / f"{Path(name).stem}.jpg")
    for number, crop in enumerate(sample_crops(12, seed=1)):
        Image.fromarray(crop).save(tmp_path / "photos" / f"crop{number}.jpg")
    for name, source in (("cat", "chelsea.png"), ("cup", "coffee.png")):
        Image.open(images[source]).convert("RGB").save(tmp_path / f"{name}.jpg", quality=95)
    for number, crop in enumerate(sample_crops(2 * IMAGES_PER_CLASS, seed=2)):
        name = ("daisy", "rose")[number % 2]
        path = tmp_path / "flowers" / name / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(path)
    return tmp_path


@pytest.mark.parametrize("precision", ["fp32", pytest.param("int8-full", marks=pytest.mark.slow)])
def test_python_examples_run(folder, capsys, precision):
    """As they stand; always with a file of fp32, which is made in a third of the time."""
    text = TEXT.replace('precisions=["int8-full"]', f'precisions=["{precision}"]')
    examples = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(examples) == 6
    shared = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for example in examples:
            exec(compile(example, "README.md", "exec"), shared)
    out = capsys.readouterr().out
    assert out.split()[0] in CAT
    assert "tiger_cat" in out
    assert "espresso" in out
    assert [file.name for file in (folder / "out").glob("*.tflite")] == [
        f"efficientnet_lite0.{precision}.tflite"
    ]
    assert (folder / "runs" / "flowers" / "report.html").exists()
    assert (folder / "own.keras").exists()
    assert shared["result"].class_names == ("daisy", "rose")
    assert shared["scores"].shape == (2, 2)
    assert shared["backbone"].outputs[0].shape == (None, 28, 28, 40)
    assert shared["flowers"].output_shape == (None, 5)


def test_command_lines_are_understood():
    lines = [
        line.split("#")[0].split()[1:] for line in re.findall(r"^    (newnet .*)$", TEXT, re.M)
    ]
    assert len(lines) == 23
    for line in lines:
        arguments = parser().parse_args([word.strip("'") for word in line])
        assert callable(arguments.run)
