"""`newnet data` and `newnet benchmark data`: a page, a table, errors that say what to do."""

import csv
import json
import time

import numpy as np
import pytest
from PIL import Image

from newnet_tf.cli import main
from newnet_tf.data import pipeline_benchmark


@pytest.fixture(scope="module")
def folder(tmp_path_factory, images):
    root = tmp_path_factory.mktemp("photos")
    for name, path in images.items():
        (root / name.split(".")[0]).mkdir()
        image = Image.open(path).convert("RGB").resize((90, 70))
        for number in range(3):
            image.rotate(5 * number).save(root / name.split(".")[0] / f"{number}.jpg")
    (root / "coffee" / "broken.jpg").write_bytes(b"")
    return root


def test_show_draws_a_page_and_names_unreadable_images(folder, tmp_path, capsys):
    output = tmp_path / "deep" / "sheet.png"
    arguments = ["data", "show", "--data", str(folder), "--image-size", "40", "--count", "12"]
    assert main([*arguments, "--augmentation", "resnet+color+cutmix", "-o", str(output)]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(output)
    with Image.open(output) as image:
        sheet = np.asarray(image)
    assert sheet.shape == (2 * 62 + 6, 8 * 46 + 6, 3)
    assert sheet[8:44, 8:44].std() > 5
    assert list(output.parent.iterdir()) == [output]
    assert ("skipped" in captured.err) == ("broken.jpg" in captured.err)


def test_info_lists_classes_splits_and_files_that_are_left_out(folder, tmp_path, capsys):
    root = tmp_path / "photos"
    for split, count in (("Training", 2), ("Testing", 1)):
        for name in ("astronaut", "coffee"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                target = root / split / name / f"{number}.jpg"
                target.symlink_to(folder / name / f"{number}.jpg")
    (root / "Training" / "coffee" / "notes.txt").write_text("x")
    assert main(["data", "info", "--data", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("train: 4 images, test: 2 images, 1 file left out)")
    assert [line.split() for line in lines[-4:-2]] == [
        ["astronaut", "2", "1"],
        ["coffee", "2", "1"],
    ]
    assert lines[-1].startswith("1 file left out: no image (")
    assert main(["data", "info", "--data", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"][0] == {"class": "astronaut", "train": 2, "test": 1}
    assert found["skipped"][0]["reason"] == "no image"


def test_show_names_the_known_augmentations_and_datasets(folder, capsys):
    assert main(["data", "show", "--data", str(folder), "--augmentation", "resnet+magic"]) == 1
    assert "cutmix" in capsys.readouterr().err
    assert main(["data", "show", "--data", "nowhere"]) == 1
    assert "imagenet_v2" in capsys.readouterr().err


def test_benchmark_prints_speeds_and_saves_results(tmp_path, capsys):
    arguments = [
        "--num-images",
        "40",
        "--batch-size",
        "16",
        "--runs",
        "2",
        "--only",
        "eval",
        "--json",
    ]
    assert main(["benchmark", "data", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["pipeline"] for row in rows] == ["full decode", "eval"]
    assert float(rows[0]["ratio"]) == 1
    assert all(float(row["images/s"]) > 0 for row in rows)
    measured = pipeline_benchmark.Throughput(
        pipeline="eval", images_per_second=10.0, per_core=5.0, ratio=0.5, cpu_ms=1.0, batch_size=16,
        workers=2, images=32, runs=2, mean_bytes=110_000,
    )  # fmt: skip
    with pipeline_benchmark.record([measured], tmp_path).open(newline="") as file:
        assert next(csv.DictReader(file))["pipeline"] == "eval"
    assert (
        main(["benchmark", "data", "--num-images", "16", "--batch-size", "16", "--only", "none"])
        == 1
    )
    assert "'train'" in capsys.readouterr().err


def test_benchmark_times_other_loaders_too():
    read = []

    def others(folder, batch_size, workers):
        assert len(list(folder.rglob("*.jpg"))) == 48
        return {"other": lambda: _CountedBatches(read)}

    rows = pipeline_benchmark.benchmark_pipelines(48, 2, 16, only=["other"], others=others)
    assert [row.images for row in rows] == [48, 32]
    assert read == [0, 1] * 3
    assert rows[1].cpu_ms is None
    assert rows[1].images_per_second <= 16 / 0.02


class _CountedBatches:
    """Yields two batches a run, and records it."""

    def __init__(self, read):
        self._read = read

    def __iter__(self):
        for number in range(2):
            self._read.append(number)
            time.sleep(0.02)
            yield number


def test_generated_images_are_of_imagenets_size(tmp_path):
    size = pipeline_benchmark.write_images(tmp_path, 6)
    assert abs(size - pipeline_benchmark.BYTES) < 12_000
    files = sorted(tmp_path.rglob("*.jpg"))
    assert len(files) == 6
    with Image.open(files[0]) as image:
        assert image.size == (500, 375)
    assert files[0].read_bytes() != files[1].read_bytes()
