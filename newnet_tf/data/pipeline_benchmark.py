"""Images a second: our pipelines, a plain full decode of the same files, and others' loaders.

JPEGs of ImageNet's usual size (500 x 375, about 110 KB) are made for the occasion. The pipelines take
turns, one pass each in shuffled order, and a ratio is taken round by round between passes moments
apart, so that it holds on a busy machine where single figures do not. A pass includes the start of
its pipeline.
"""

import io
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from newnet_tf import results
from newnet_tf.models.config import PreprocessConfig

TABLE, KEYS = "data", ("pipeline", "batch", "workers")
WIDTH, HEIGHT, BYTES = 500, 375, 110_000
DISTINCT, CLASSES, QUALITIES = 128, 8, range(80, 99, 2)
BASELINE = "full decode"
PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """One pipeline.

    Args:
        pipeline: str. images_per_second, per_core: float, median over rounds; cores are `workers`.
        ratio: float, median over rounds of its speed by the full decode's of that round.
        cpu_ms: float, milliseconds of processor time an image, over all threads, median; None for
            a loader that works in other processes.
        batch, workers, images, rounds: int, images of a pass. mean_bytes: int, of a file.
    """

    pipeline: str
    images_per_second: float
    per_core: float
    ratio: float
    cpu_ms: float | None
    batch: int
    workers: int
    images: int
    rounds: int
    mean_bytes: int


def measure(
    images: int = 2048,
    rounds: int = 5,
    batch: int = 64,
    workers: int | None = None,
    only: Sequence[str] | None = None,
    others: Callable | None = None,
) -> list[Throughput]:
    """Times pipelines against each other.

    Args:
        images: int, files a pass. rounds: int, timed passes of each. batch: int.
        workers: int, threads; default: the cores that this process may use.
        others: callable (folder, batch, workers) -> further loaders, as `pipelines` returns them, that
            work in processes of their own.
        only: names of pipelines; default: all of `pipelines`. The full decode is always among them.

    Returns:
        A `Throughput` for each, the full decode first.

    Raises:
        ValueError: for an unknown name or a number that is not positive.
    """
    from newnet_tf.data.decode import cores

    workers = workers or cores()
    if images < batch or rounds < 1 or batch < 1:
        raise ValueError(
            "`images` must be at least `batch`, `rounds` and `batch` positive. "
            f"Received: images={images}, rounds={rounds}, batch={batch}"
        )
    images -= images % batch
    with tempfile.TemporaryDirectory() as folder:
        size = write_images(Path(folder), images)
        aside = others(Path(folder), batch, workers) if others else {}
        known = pipelines(Path(folder), batch, workers) | aside
        unknown = sorted(set(only or ()) - set(known))
        if unknown:
            raise ValueError(f"`only` must be among {tuple(known)}. Received: {unknown}")
        made = {n: make() for n, make in known.items() if not only or n in (*only, BASELINE)}
        walls, cpus, counts = _times(made, rounds, batch)
    rows = []
    for name in made:
        speeds = [counts[name] / seconds for seconds in walls[name]]
        ratios = [s * b / images for s, b in zip(speeds, walls[BASELINE], strict=True)]
        rows.append(
            Throughput(
                pipeline=name,
                images_per_second=statistics.median(speeds),
                per_core=statistics.median(speeds) / workers,
                ratio=statistics.median(ratios),
                cpu_ms=None
                if name in aside
                else statistics.median(cpus[name]) / counts[name] * 1e3,
                batch=batch,
                workers=workers,
                images=counts[name],
                rounds=rounds,
                mean_bytes=size,
            )
        )
    return rows


def record(rows: Sequence[Throughput], folder: str | os.PathLike | None = None) -> Path:
    """Merges rows into the table `data`, stamped with machine, versions and date."""
    table = [{k: "" if v is None else v for k, v in asdict(row).items()} for row in rows]
    return results.record(TABLE, table, KEYS, folder)


def pipelines(folder: Path, batch: int, workers: int) -> dict:
    """Returns {name: callable -> iterable of batches of a folder}; one pass is one epoch."""
    import tensorflow as tf

    from newnet_tf.data.augment.config import Augmentation
    from newnet_tf.data.datasets.base import ALL
    from newnet_tf.data.datasets.factory import folder_dataset
    from newnet_tf.data.decode import options
    from newnet_tf.data.keras_baseline import keras_loaders
    from newnet_tf.data.pipeline import eval_input_pipeline, train_input_pipeline

    source, record = folder_dataset(folder), PreprocessConfig()

    sizes = {"batch": batch, "split": ALL, "workers": workers}

    def decode(path):
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)

    def plain():
        files = tf.data.Dataset.list_files(f"{folder}/*/*.jpg", seed=0)
        decoded = files.map(decode, num_parallel_calls=workers, deterministic=True)
        return decoded.prefetch(2).with_options(options(workers))

    def train(**fields):
        return lambda: train_input_pipeline(source, record, Augmentation(**fields), **sizes)

    return {
        BASELINE: plain,
        "train": train(),
        "eval": lambda: eval_input_pipeline(source, record, **sizes),
        "train + RandAugment": train(randaugment=2),
        "train + RandAugment, erasing, CutMix": train(randaugment=2, erasing=0.2, cutmix=1.0),
        **keras_loaders(folder, batch),
    }


def write_images(folder: Path, count: int) -> int:
    """Writes `count` JPEGs in class folders (some linked to each other); returns their mean size."""
    distinct = [noise_image(seed) for seed in range(min(count, DISTINCT))]
    sizes = {q: np.mean([len(_jpeg(p, q)) for p in distinct[:4]]) for q in QUALITIES}
    quality = min(sizes, key=lambda q: abs(sizes[q] - BYTES))
    written = [_jpeg(image, quality) for image in distinct]
    for number in range(count):
        path = folder / f"class_{number % CLASSES}" / f"{number:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(written[number % len(written)])
    return round(sum(map(len, written)) / len(written))


def noise_image(seed: int) -> np.ndarray:
    """Returns an image of soft colors under texture of two sizes, uint8 (375, 500, 3)."""
    generator = np.random.default_rng(seed)

    def grown(values):
        image = Image.fromarray(values.astype(np.float32))
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))

    colors = generator.uniform(0, 255, (3, 8, 10))
    base = np.stack([grown(plane) for plane in colors], axis=-1)
    coarse = grown(generator.normal(0, 22, (HEIGHT // 2, WIDTH // 2)))
    fine = generator.normal(0, 11, (HEIGHT, WIDTH))
    return np.clip(base + (coarse + fine)[..., None], 0, 255).astype(np.uint8)


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _times(made: Mapping, rounds: int, batch: int) -> tuple[dict, dict, dict]:
    """Runs all in turn; returns wall and processor seconds of each, round by round, and images.

    The first round warms up.
    """
    order, names, shown = random.Random(0), list(made), time.monotonic()
    walls, cpus = ({name: [] for name in made} for _ in range(2))
    counts = {}
    for number in range(rounds + 1):
        order.shuffle(names)
        for name in names:
            wall, cpu, count = time.perf_counter(), time.process_time(), 0
            for _ in made[name]:
                count += 1 if name == BASELINE else batch
            counts[name] = count
            if number:
                walls[name].append(time.perf_counter() - wall)
                cpus[name].append(time.process_time() - cpu)
            if time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                text = f"timing {name}: round {number} of {rounds}"
                print(text, file=sys.stderr, flush=True)
    return walls, cpus, counts
