"""One process of a run on several devices: the child of `test_strategy`.

    python strategy_child.py mirrored IMAGES OUTPUT RUN...
    python strategy_child.py HOST:PORT,HOST:PORT/INDEX IMAGES OUTPUT RUN...

It does the runs named, one after the other, each in its own folder of OUTPUT, tells each step on
stdout, and saves its outputs next to the folder as `RUN.npz`. Other checks are functions here.
"""

import os
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import tiny_run

PAUSE = 0.05  # seconds of a step of the run that is killed
CLASSES = 3


def recipe(name: str):
    from newnet_tf.data.augment.config import Augmentation

    calm = {"augmentation": Augmentation(crop="random", hflip_prob=0.5), "lr": 0.01}  # not mixed
    fields = {
        "plain": calm,
        "average": {**calm, "optimizer": "adamw", "lr": 0.001, "ema_decay": 0.5},
        "half": {**calm, "epochs": 1, "lr": 0.001, "dtype": "mixed_float16", "ema_decay": 0.5},
        "killed": {"ema_decay": 0.9},
        "whole": {"ema_decay": 0.9},
    }
    return tiny_run.recipe(**{"epochs": 2, **fields[name]})


def network(name: str, seed: int):
    model = tiny_run.network(seed, dropout=0.3 if name in ("killed", "whole") else 0.0)
    # Before a batch norm its gradient is zero but for rounding, which AdamW divides by its own size.
    model.get_layer("depthwise").bias.trainable = False
    return model


def weights(model) -> dict:
    """Returns a network's arrays by name, but for dropout's seeds: devices have each their own."""
    named = {variable.path.replace("/", "."): variable.numpy() for variable in model.variables}
    return {name: value for name, value in named.items() if "seed_generator" not in name}


def do_run(name: str, folder: Path, output: Path, strategy=None) -> None:
    """Trains the tiny network by a recipe of the above and writes losses and weights."""
    import keras

    from newnet_tf.training import run, trainer
    from newnet_tf.training.distributed.single_process import SingleProcess

    made, share = recipe(name), shared(strategy)
    keras.config.set_dtype_policy(made.dtype)
    data = tiny_run.loader(folder, made, **share)
    with (strategy or SingleProcess()).scope():
        # each worker has other first weights: the chief's must come to count
        model = network(name, seed=share.get("shard_index", 0))
    losses = []

    def make_step(trained):
        if name == "half":  # else one device's gradients overflow where the halves of two do not
            trained.optimizer.dynamic_scale.assign(1024.0)
        step = (strategy.make_step if strategy else trainer.single_step)(trained)

        def told(images, targets):
            found = step(images, targets)
            losses.append((float(found["loss"]), float(found["accuracy"])))
            print(f"{name} {len(losses)}", flush=True)
            time.sleep(PAUSE if name == "killed" else 0)
            return found

        return told

    options = {"resume": True, "checkpoint_every": 2, "make_step": make_step, "strategy": strategy}
    with patch.object(run, "write_curves"):  # matplotlib takes longer than the run
        outcome = trainer.fit(model, data, made, output / name, **options)
    keras.config.set_dtype_policy("float32")
    tested = [(row["test_loss"], row["test_error"]) for row in outcome.history]
    output.mkdir(exist_ok=True)
    np.savez(output / f"{name}.npz", losses=losses, tested=tested, **weights(model))


def shared(strategy) -> dict:
    return {"num_shards": strategy.workers, "shard_index": strategy.index} if strategy else {}


def raised(function, *arguments, **options) -> str:
    """Returns what the ValueError says that a call must raise."""
    try:
        function(*arguments, **options)
    except ValueError as error:
        return str(error)
    raise AssertionError("there was no error")


def differences(name: str, folder: Path, output: Path, strategy) -> None:
    """Workers with other settings, or a folder that is taken, are refused by all of them."""
    from newnet_tf.training import trainer

    def start(made, output):
        data = tiny_run.loader(folder, made, **shared(strategy))
        trainer.fit(model, data, made, output, strategy=strategy)

    with strategy.scope():
        model = tiny_run.network()
    said = raised(start, tiny_run.recipe(lr=0.05 + 0.01 * strategy.index), output / name)
    assert "worker 1 has others than worker 0. Received: recipe.lr 0.05, now 0.06" in said, said
    taken = output / "plain" if strategy.is_chief else output / "nowhere"
    assert "--resume" in raised(start, recipe("plain"), taken)
    assert "multiple of the number of workers (2)" in raised(
        start, tiny_run.recipe(batch_size=7), output / name
    )


def devices(name: str, folder: Path, output: Path, strategy) -> None:
    """Dropout differs by device; one that overflows makes all leave the step out; what is refused."""
    import keras
    import tensorflow as tf

    from newnet_tf.training import compilation, trainer

    with strategy.scope():
        image = keras.Input((2,))
        hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(50, name="first")(image))
        model = keras.Model(image, keras.layers.Dense(CLASSES, name="last")(hidden))
        made = tiny_run.recipe(dtype="mixed_float16", warmup=0)
        trained = compilation.compile_model(model, made, steps=9)
    strategy.broadcast(trained, {})
    draw = tf.function(lambda: model.layers[2](tf.ones((1, 50)), training=True))
    masks = tf.function(lambda: strategy.inner.run(draw))()
    first, second = (part.numpy() for part in strategy.inner.experimental_local_results(masks))
    assert (first != second).any()
    images, targets = np.ones((4, 2), "float32"), np.eye(CLASSES, dtype="float32")[[0, 1, 2, 0]]
    step, scale = strategy.make_step(trained), trained.optimizer.dynamic_scale
    before = float(scale.numpy()), model.get_weights()
    step(images, targets * np.float32([[1], [1], [1], [np.nan]]))
    assert float(scale.numpy()) == before[0] / 2
    for value, kept in zip(model.get_weights(), before[1], strict=True):
        np.testing.assert_array_equal(value, kept)
    step(images, targets)
    assert (model.get_weights()[-2] != before[1][-2]).any()
    made = tiny_run.recipe()
    outside, data = tiny_run.network(), tiny_run.loader(folder, made)
    said = raised(trainer.fit, outside, data, made, output / name, strategy=strategy)
    assert "built in the strategy's scope" in said, said
    made = tiny_run.recipe(batch_size=7)
    data = tiny_run.loader(folder, made)
    said = raised(trainer.fit, outside, data, made, output / name, strategy=strategy)
    assert "multiple of the devices (2: 1 workers with 2 devices each)" in said, said


def create_strategy(kind: str):
    """Returns the strategy that the child was started for."""
    import tensorflow as tf

    from newnet_tf.training.distributed import strategy

    tf.config.experimental.enable_op_determinism()
    if kind != "mirrored":
        workers, index = kind.split("/")
        return strategy.multiworker(workers, int(index))
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    return strategy.mirrored(["CPU:0", "CPU:1"])


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    chosen = create_strategy(sys.argv[1])
    for called in sys.argv[4:]:
        do = {"differences": differences, "devices": devices}.get(called, do_run)
        do(called, Path(sys.argv[2]), Path(sys.argv[3]), chosen)
