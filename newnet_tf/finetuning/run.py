"""The two stages of a finetuning run, and which of them the network is taken from."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path

from newnet_tf.cli import common
from newnet_tf.data.datasets.base import TRAIN, Dataset
from newnet_tf.models.config import PreprocessConfig

FROZEN, ALL_LAYERS = "frozen features", "all layers"


@dataclass(kw_only=True)
class Run:
    """What a run works on and what it has found so far.

    Args:
        network: str. tag: str, where its weights came from. model: Keras model.
        source: `Dataset`, its splits train and test. preprocess: `PreprocessConfig`. folder: `Path`.
        train, test: `Split`s of it. seed: int.
        features: `finetuning.frozen.Outputs`, of the training images. penalty: float, L2 of the
            classifier.
        learned, aside: `Split`s, the parts of `train` that the second stage learns from, and that say
            what it is worth; None without a second stage, `aside` also where no part was held aside.
        frozen, second: `finetuning.frozen.Outputs` on the test part, probabilities, after each stage;
            None without a second one.
        outcome: `training.Outcome` of the second stage, recipe: its `Recipe`, how: str, the rest of
            its settings in words; None and "" without a second stage.
        paired: `evaluation.Paired`, the stages on the images held aside; None without such.
        is_dropped: bool, whether the second stage came out worse there, and the first one's network
            was kept.
        seconds: {stage: float}, how long each took.
        bad: `SkippedImage`s. files: exported files as lines of a table.
    """

    network: str
    tag: str
    model: object
    source: object
    preprocess: PreprocessConfig
    folder: Path
    train: object
    test: object
    seed: int
    features: object = None
    penalty: float = 0.0
    learned: object = None
    aside: object = None
    frozen: object = None
    second: object = None
    outcome: object = None
    recipe: object = None
    how: str = ""
    paired: object = None
    is_dropped: bool = False
    seconds: dict = field(default_factory=dict)
    bad: tuple = ()
    files: list = field(default_factory=list)

    @property
    def final(self):
        """The outputs of the network that is kept."""
        return self.frozen if self.second is None or self.is_dropped else self.second

    @property
    def stages(self) -> dict:
        """{stage: `evaluation.Result` on the test split}."""
        found = {FROZEN: self.frozen, ALL_LAYERS: self.second}
        return {stage: made.result() for stage, made in found.items() if made is not None}

    @property
    def verdict(self) -> str:
        """What the images held aside say of the second stage, in a sentence; "" without such."""
        if self.paired is None:
            return ""
        difference, (low, high) = self.paired.difference, self.paired.interval
        ends = "All layers came out worse" if self.is_dropped else "All layers came out no worse"
        kept = "first stage is kept" if self.is_dropped else "second stage is kept"
        return (
            f"{ends} than the frozen features on {self.paired.n} training images that neither "
            f"learned from ({difference:+.2f} points, 95 %: {low:+.2f} to {high:+.2f}): the network "
            f"of the {kept}."
        )


def frozen_stage(run: Run) -> None:
    """Fits the classifier of frozen features, to all training images; nothing else changes."""
    import numpy as np

    from newnet_tf.classification.linear_probe import fit_linear
    from newnet_tf.finetuning import feature_cache

    begin = time.monotonic()
    found = _features(run)
    run.features = found["train"]
    run.bad = found["train"].bad + found["test"].bad
    linear = fit_linear(found["train"].values, found["train"].labels, seed=run.seed)
    if linear.bias.size != run.source.classes:
        raise ValueError(
            "each class must have readable images in the training part. Received: none of "
            f"{run.source.class_names[linear.bias.size :]}"
        )
    feature_cache.set_classifier(run.model, linear)
    scores = linear.scores(found["test"].values.astype(np.float64))
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    run.frozen = dataclasses.replace(found["test"], values=probabilities)
    run.penalty = linear.penalty
    run.seconds[FROZEN] = time.monotonic() - begin
    common.note(f"{FROZEN}: {run.frozen.result()}, {run.seconds[FROZEN]:.0f} s")


def second_stage(
    run: Run, recipe, backbone_lr_scale: float, batch_norm: str, held_aside: float, is_bounded: bool
) -> None:
    """Trains all layers, and keeps what comes of it unless it is worse than the first stage.

    Args:
        run: `Run` after `frozen_stage`. recipe: `training.Recipe`.
        backbone_lr_scale, batch_norm: as in `finetuning.unfrozen.unfreeze`.
        held_aside: float, the part of the training images that neither stage learns from when the
            two are compared.
        is_bounded: bool, lower the recipe's rate to what the network bears.
    """
    from newnet_tf.classification.linear_probe import fit_linear
    from newnet_tf.data.host_loader import iter_samples
    from newnet_tf.finetuning import feature_cache, full_finetune, holdout, lr_bound

    first, linear = run.model.get_weights(), None
    run.learned, run.aside = holdout.parted(run.train, run.features, held_aside, run.seed)
    if run.aside:
        learned = run.features.named([image.name for image in iter_samples(run.learned)])
        linear = fit_linear(learned.values, learned.labels, seed=run.seed)
        feature_cache.set_classifier(run.model, linear)
    splits = {**run.source.splits, TRAIN: run.learned}
    source = Dataset(run.source.name, run.source.class_names, splits)
    folder = run.folder / "training"
    if is_bounded:
        given = recipe.peak_lr
        recipe = lr_bound.bounded(
            run.model, source, run.preprocess, recipe, folder, backbone_lr_scale, batch_norm
        )
        if recipe.peak_lr < given:
            common.note(
                f"rate {recipe.peak_lr:.2g}, not {given:g}: the network bears no higher one"
            )
    run.recipe = recipe
    run.how = f"pretrained layers at {backbone_lr_scale:g} of the rate, batch norm {batch_norm}"
    run.outcome = full_finetune.train_all_layers(
        run.model, source, run.preprocess, recipe, folder, backbone_lr_scale, batch_norm
    )
    run.second = feature_cache.outputs(run.model, run.test, run.preprocess, title="Judging")
    if run.aside:
        ended = feature_cache.outputs(
            run.model, run.aside, run.preprocess, title="Judging, held aside"
        )
        run.paired = holdout.paired(run.features, linear, ended)
        run.is_dropped = holdout.is_worse(run.paired)
        common.note(run.verdict)
    if run.is_dropped:
        run.model.set_weights(first)
    run.seconds[ALL_LAYERS] = sum(epoch["seconds"] for epoch in run.outcome.history)


def _features(run: Run) -> dict:
    """Returns {part: `Outputs`}, the frozen features, kept in the run's folder."""
    from newnet_tf.finetuning import feature_cache

    embed, found = feature_cache.feature_extractor(run.model), {}
    for part, split in (("train", run.train), ("test", run.test)):
        file = run.folder / f"features.{part}.npz"
        found[part], is_kept = feature_cache.cached(embed, split, run.preprocess, file)
        if is_kept:
            common.note(f"features of the {part} part: kept from {file}")
    return found
