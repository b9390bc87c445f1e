"""Images a second: these input pipelines, a full decode of the same files, and other loaders.

JPEGs of ImageNet's usual size (500 x 375, about 110 KB) are generated. In each run all pipelines take
turns in shuffled order, and a ratio is computed within a run, so that it is meaningful on a busy
machine where single figures are not. A time includes the start of the pipeline.
"""

import io
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from newnet_tf import results
from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.progress import progress_bar

TABLE, KEYS = "data", ("pipeline", "batch_size", "workers")
WIDTH, HEIGHT, BYTES = 500, 375, 110_000
NUM_DISTINCT, CLASSES, QUALITIES = 128, 8, range(80, 99, 2)
BASELINE = "full decode"


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """The speed of one pipeline.

    Args:
        pipeline: str, its name.

        images_per_second: float, median over runs.

        per_core: float, the same, divided by `workers`.

        ratio: float, median over runs of its speed relative to the full decode's of that run.

        cpu_ms: float, milliseconds of processor time an image, over all threads, median over runs;
            None for a loader that works in other processes.

        batch_size, workers, images, runs: int, the arguments; images of one run.

        mean_bytes: int, size of a file.
    """

    pipeline: str
    images_per_second: float
    per_core: float
    ratio: float
    cpu_ms: float | None
    batch_size: int
    workers: int
    images: int
    runs: int
    mean_bytes: int


def benchmark_pipelines(
    images: int = 2048,
    runs: int = 5,
    batch_size: int = 64,
    workers: int | None = None,
    only: Sequence[str] | None = None,
    others: Callable | None = None,
) -> list[Throughput]:
    """Compares the speed of input pipelines.

    Args:
        images: int, files a run. Default: 2048.

        runs: int, timed runs; one more warms up. Default: 5.

        batch_size: int. Default: 64.

        workers: int, threads. Default: None, the cores that this process may use.

        only: names of pipelines. Default: None, all of `pipelines`. The full decode is always timed.

        others: callable (folder, batch_size, workers) -> more loaders, as `pipelines` returns them,
            that work in processes of their own. Default: None.

    Returns:
        `Throughput` for each, the full decode first.

    Raises:
        ValueError: for an unknown name or a number that is not positive.
    """
    from newnet_tf.data.decode import cores

    workers = workers or cores()
    if images < batch_size or runs < 1 or batch_size < 1:
        raise ValueError(
            "`images` must be at least `batch_size`, `runs` and `batch_size` positive. "
            f"Received: images={images}, runs={runs}, batch_size={batch_size}"
        )
    images -= images % batch_size
    with tempfile.TemporaryDirectory() as folder:
        size = write_images(Path(folder), images)
        external = others(Path(folder), batch_size, workers) if others else {}
        known = pipelines(Path(folder), batch_size, workers) | external
        unknown = sorted(set(only or ()) - set(known))
        if unknown:
            raise ValueError(f"`only` must be among {tuple(known)}. Received: {unknown}")
        chosen = {n: make() for n, make in known.items() if not only or n in (*only, BASELINE)}
        walls, cpus, counts = _times(chosen, runs, batch_size)
    rows = []
    for name in chosen:
        speeds = [counts[name] / seconds for seconds in walls[name]]
        ratios = [s * b / images for s, b in zip(speeds, walls[BASELINE], strict=True)]
        rows.append(
            Throughput(
                pipeline=name,
                images_per_second=statistics.median(speeds),
                per_core=statistics.median(speeds) / workers,
                ratio=statistics.median(ratios),
                cpu_ms=None
                if name in external
                else statistics.median(cpus[name]) / counts[name] * 1e3,
                batch_size=batch_size,
                workers=workers,
                images=counts[name],
                runs=runs,
                mean_bytes=size,
            )
        )
    return rows


def record(rows: Sequence[Throughput], folder: str | os.PathLike | None = None) -> Path:
    """Merges rows into the table `data`, stamped with machine, versions and date."""
    table = [{k: "" if v is None else v for k, v in asdict(row).items()} for row in rows]
    return results.record(TABLE, table, KEYS, folder)


def pipelines(folder: Path, batch_size: int, workers: int) -> dict[str, Callable]:
    """Returns {name: callable -> iterable of batches of a folder, one epoch}."""
    import tensorflow as tf

    from newnet_tf.data.augment.config import Augmentation
    from newnet_tf.data.datasets.base import ALL
    from newnet_tf.data.datasets.factory import folder_dataset
    from newnet_tf.data.decode import options
    from newnet_tf.data.keras_baseline import keras_loaders
    from newnet_tf.data.pipeline import eval_input_pipeline, train_input_pipeline

    dataset, preprocess = folder_dataset(folder), PreprocessConfig()
    options_ = {"batch_size": batch_size, "split": ALL, "workers": workers}

    def decode(path):
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)

    def plain():
        files = tf.data.Dataset.list_files(f"{folder}/*/*.jpg", seed=0)
        decoded = files.map(decode, num_parallel_calls=workers, deterministic=True)
        return decoded.prefetch(2).with_options(options(workers))

    def train(**fields):
        return lambda: train_input_pipeline(dataset, preprocess, Augmentation(**fields), **options_)

    return {
        BASELINE: plain,
        "train": train(),
        "eval": lambda: eval_input_pipeline(dataset, preprocess, **options_),
        "train + RandAugment": train(randaugment_ops=2),
        "train + RandAugment, erasing, CutMix": train(
            randaugment_ops=2, erasing_prob=0.2, cutmix_alpha=1.0
        ),
        **keras_loaders(folder, batch_size),
    }


def write_images(folder: Path, count: int) -> int:
    """Writes `count` JPEGs in class folders, some of them equal; returns their mean size in bytes."""
    distinct = [noise_image(seed) for seed in range(min(count, NUM_DISTINCT))]
    sizes = {q: np.mean([len(_jpeg(p, q)) for p in distinct[:4]]) for q in QUALITIES}
    quality = min(sizes, key=lambda q: abs(sizes[q] - BYTES))
    written = [_jpeg(image, quality) for image in distinct]
    for number in range(count):
        path = folder / f"class_{number % CLASSES}" / f"{number:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(written[number % len(written)])
    return round(sum(map(len, written)) / len(written))


def noise_image(seed: int) -> np.ndarray:
    """Returns an image of smooth colors and noise of two sizes, uint8 (375, 500, 3)."""
    generator = np.random.default_rng(seed)

    def enlarge(values):
        image = Image.fromarray(values.astype(np.float32))
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))

    colors = generator.uniform(0, 255, (3, 8, 10))
    base = np.stack([enlarge(plane) for plane in colors], axis=-1)
    coarse = enlarge(generator.normal(0, 22, (HEIGHT // 2, WIDTH // 2)))
    fine = generator.normal(0, 11, (HEIGHT, WIDTH))
    return np.clip(base + (coarse + fine)[..., None], 0, 255).astype(np.uint8)


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _times(chosen: Mapping, runs: int, batch_size: int) -> tuple[dict, dict, dict]:
    """Runs all in turn; returns wall and processor seconds of each, run by run, and its images.

    The first run warms up.
    """
    shuffle, names = random.Random(0).shuffle, list(chosen)
    walls, cpus = ({name: [] for name in chosen} for _ in range(2))
    counts = {}

    def turns():
        for run in range(runs + 1):
            shuffle(names)
            yield from ((run, name) for name in list(names))

    for run, name in progress_bar(turns(), "Timing pipelines", (runs + 1) * len(names)):
        wall, cpu, count = time.perf_counter(), time.process_time(), 0
        for _ in chosen[name]:
            count += 1 if name == BASELINE else batch_size
        counts[name] = count
        if run:
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    return walls, cpus, counts
