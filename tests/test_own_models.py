"""Models as users bring them: every step gives the answers of the user's own model.

`python tests/test_own_models.py` writes the table of `docs/own_models.md`; the tests compare with it.
"""

import io
import json
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import own_models
import pytest
from PIL import Image

import newnet_tf
from newnet_tf.data.preprocess import Transform
from newnet_tf.utils.quiet import start_keras
from newnet_tf.web import litert_js

PAGE = Path(__file__).resolve().parents[1] / "docs" / "own_models.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
QUICK = ("own head", "multi-label")  # in `make test`; the others in `make test-all`
FOREIGN = {"foreign `.keras`": "nested base", "`.h5`": "functional"}  # files that Keras alone wrote
STEPS = ("predict", "evaluate", "SavedModel", "TFLite fp32", "TFLite int8", "ONNX", "bundle", "web")
EXACT, INT8 = 2e-4, 0.03  # how far a probability may lie from the user's own model's


def right_answers(model, preprocess) -> list[np.ndarray]:
    """Returns the probability of each class for an image of each color, by Keras alone."""
    batch = np.concatenate([Transform(preprocess)(own_models.image(color)) for color in range(3)])
    values = np.asarray(model(batch, training=False), np.float64)
    if values.shape[1] == 1:
        values = np.concatenate([1 - values, values], axis=1)
    return list(values)


def labels(name: str) -> list[str]:
    return ["other", "blue"] if name == "sigmoid" else list(own_models.COLORS)


class Walk:
    """One model's way through all steps.

    Args:
        name: str, of `own_models.MODELS` or `FOREIGN`.

        folder: path of its files.
    """

    def __init__(self, name: str, folder: Path):
        start_keras()
        self.name, self.folder = name, folder
        self.names = labels(name)
        self.given = own_models.MODELS[FOREIGN.get(name, name)]()
        source = self.given
        if name in FOREIGN:
            source = folder / ("own.h5" if "h5" in name else "own.keras")
            self.given.save(source)
        with pytest.raises(ValueError, match=r"preprocessing of .* must be known: pass"):
            newnet_tf.load_model(source)
        self.loaded = newnet_tf.load_model(source, preprocess_as="raw", class_names=self.names)
        self.right = right_answers(self.given, self.loaded.preprocess)
        self.is_half = name == "mixed precision"

    def check(self, predictor, tolerance: float) -> str:
        """Compares predictions with the model's own; returns the answer for a blue image."""
        tolerance = max(tolerance, 2e-3) if self.is_half else tolerance
        for color, expected in enumerate(self.right):
            predictions = predictor(own_models.image(color))
            found = {p.label: p.score for p in predictions}
            assert found == pytest.approx(
                dict(zip(self.names, expected, strict=True)), abs=tolerance
            ), (self.name, color)
        return f"blue {100 * predictions[0].score:.1f} %"

    def predict(self) -> str:
        return self.check(newnet_tf.load_predictor(self.loaded), EXACT)

    def evaluate(self) -> str:
        """Folders in another order than the model's classes, matched by name."""
        data = self.folder / "data"
        for number in range(12):
            color = number % 3
            label = own_models.COLORS[color]
            if self.name == "sigmoid" and label != "blue":
                label = "other"
            (data / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(own_models.image(color, number)).save(data / label / f"{number}.png")
        if self.loaded.task != "classification":
            table = data / "labels.csv"
            rows = [
                f"{color}/{n}.png,{color}"
                for n in range(12)
                for color in [own_models.COLORS[n % 3]]
            ]
            both = np.maximum(own_models.image(0), own_models.image(1))  # so several are possible
            Image.fromarray(both).save(data / "both.png")
            text = "\n".join(["path,labels", *rows, "both.png,red;green"])
            table.write_text(f"{text}\n", encoding="utf-8")
            result = newnet_tf.evaluate(self.loaded, table, split="all")
            assert result.metrics["mAP"] == pytest.approx(100)
            return f"mAP {result.metrics['mAP']:.0f} %"
        result = newnet_tf.evaluate(self.loaded, data, split="all")
        assert result.accuracy() == 100
        return f"{result.accuracy():.0f} %"

    def saved_model(self) -> str:
        [folder] = newnet_tf.export(self.loaded, self.folder / "out", format="saved_model")
        return self.check(newnet_tf.load_predictor(folder), EXACT)

    def tflite(self) -> dict[str, str]:
        self.files = newnet_tf.export(
            self.loaded,
            self.folder / "out",
            precisions=["fp32", "int8-full"],
            calibration_images=own_models.images(12),
            validation_images=own_models.images(6),
        )
        return {
            "TFLite fp32": self.check(newnet_tf.load_predictor(self.files[0]), EXACT),
            "TFLite int8": self.check(newnet_tf.load_predictor(self.files[1]), INT8),
        }

    def onnx(self) -> str:
        [file] = newnet_tf.export(
            self.loaded, self.folder / "out", format="onnx", validation_images=own_models.images(6)
        )
        return self.check(newnet_tf.load_predictor(file), EXACT)

    def bundle(self) -> str:
        bundle = newnet_tf.bundle(self.files, self.folder / "bundle")
        info = bundle.info
        assert (self.folder / "bundle" / info["labels"]).read_text().split() == self.names
        assert info["output_type"] == self.loaded.metadata.output_type
        newnet_tf.deploy.check_bundle(bundle)  # its own check.py: the outputs are the expected ones
        return f"{info['output_type']}, checked"

    def web(self, assets: Path) -> str:
        site = newnet_tf.make_web_page(self.files, self.folder / "site", assets=assets)
        about = json.loads((site.folder / "site.json").read_text(encoding="utf-8"))
        assert about["labels"] == self.names
        assert {model["output_type"] for model in about["models"]} == {
            self.loaded.metadata.output_type
        }
        return about["models"][0]["output_type"]

    def row(self, assets: Path) -> dict[str, str]:
        """Does all steps; returns what happens in each."""
        row = {"model": self.name, "predict": self.predict(), "evaluate": self.evaluate()}
        row["SavedModel"] = self.saved_model()
        row |= self.tflite()
        return row | {"ONNX": self.onnx(), "bundle": self.bundle(), "web": self.web(assets)}


def engine_archive(folder: Path) -> Path:
    """Writes an archive that looks like LiteRT.js's."""
    path = folder / litert_js.ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name, member in litert_js.MEMBERS.items():
            text = b'import { x } from "@litertjs/wasm-utils";'
            data = text if name == litert_js.MODULE else b"wasm"
            about = tarfile.TarInfo(member)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
    return path


def table(rows: list[dict[str, str]]) -> str:
    """Returns the rows as a Markdown table."""
    columns = ("model", *STEPS)
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(row[column] for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


@pytest.fixture
def assets(tmp_path, monkeypatch):
    import hashlib

    path = engine_archive(tmp_path)
    monkeypatch.setattr(litert_js, "SHA512", hashlib.sha512(path.read_bytes()).hexdigest())
    return path


def slow_unless_quick(names):
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.parametrize("name", slow_unless_quick([*own_models.MODELS, *FOREIGN]))
def test_every_step_gives_the_answers_of_the_users_own_model(name, tmp_path, assets):
    row = Walk(name, tmp_path).row(assets)
    documented = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].splitlines()
    names = [cell.strip() for cell in documented[0].strip("|").split("|")]
    rows = [
        dict(zip(names, (c.strip() for c in line.strip("|").split("|")), strict=True))
        for line in documented[2:]
    ]
    # int8 figures depend on the machine's rounding; all others are the documented ones
    shown = next(r for r in rows if r["model"] == name)
    assert {k: v for k, v in row.items() if k != "TFLite int8"} == {
        k: v for k, v in shown.items() if k != "TFLite int8"
    }


def write_page() -> None:
    import hashlib
    import tempfile

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        archive = engine_archive(Path(folder))
        litert_js.SHA512 = hashlib.sha512(archive.read_bytes()).hexdigest()
        for number, name in enumerate([*own_models.MODELS, *FOREIGN]):
            place = Path(folder) / str(number)
            place.mkdir()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows.append(Walk(name, place).row(archive))
            print(rows[-1], file=sys.stderr)
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{table(rows)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write_page()
