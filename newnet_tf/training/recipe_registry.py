"""The named recipes, each with its command, hours, hardware and expected result."""

from dataclasses import dataclass, replace

from newnet_tf.data.augment.config import Augmentation
from newnet_tf.training.recipes import Recipe
from newnet_tf.utils.suggest import suggestion

NOT_RUN = "not run here"


@dataclass(frozen=True, kw_only=True)
class NamedRecipe:
    """A recipe and what is known about it.

    Args:
        recipe: `Recipe`.

        command: str, how to run it.

        source: str, where its numbers come from.

        hours, hardware: str, what a full run takes, or that it was not run here.

        expected: str, the result, and who reported it.
    """

    recipe: Recipe
    command: str
    source: str
    hours: str
    hardware: str
    expected: str


TALK = Recipe(
    lr=0.05,
    base_batch_size=256,
    batch_size=256,
    epochs=150,
    weight_decay=4e-5,
    dtype="mixed_float16",
)

RECIPES = {
    "talk": NamedRecipe(
        recipe=TALK,
        command="newnet train newnet_small --data imagenet --recipe talk -o runs/talk",
        source="The talk (DEVIEW 2019): Nesterov SGD with momentum, MobileNet's basic settings, "
        "ResNet's augmentation, mixed precision, no averaged weights. It gives no numbers; learning "
        "rate, decay and epochs are those of PyTorch reproductions of MobileNetV2. Tune lr and "
        "weight_decay.",
        hours=f"{NOT_RUN}; the talk: 3 to 7 days",
        hardware=f"{NOT_RUN}; the talk: 4 to 8 GPUs",
        expected=f"{NOT_RUN}; the talk reports for its small model: top-1 77.04 %",
    ),
    "talk-cutmix": NamedRecipe(
        recipe=replace(TALK, epochs=300, augmentation=Augmentation(cutmix_alpha=1.0)),
        command="newnet train newnet_small --data imagenet --recipe talk-cutmix "
        "-o runs/talk-cutmix",
        source="`talk` and, as it advises after all else is settled, CutMix (ICCV 2019), whose "
        "authors train for 300 epochs.",
        hours=f"{NOT_RUN}; twice those of `talk`",
        hardware=f"{NOT_RUN}; the talk: 4 to 8 GPUs",
        expected=f"{NOT_RUN}; the talk gives no figure",
    ),
    "rexnet": NamedRecipe(
        recipe=Recipe(
            lr=0.5,
            base_batch_size=512,
            batch_size=512,
            epochs=400,
            warmup=5,
            weight_decay=1e-5,
            dropout=0.2,
            dtype="mixed_float16",
            augmentation=Augmentation(
                interpolation="bicubic",
                randaugment_ops=2,
                magnitude=9,
                magnitude_std=0.5,
                erasing_prob=0.2,
                label_smoothing=0.1,
            ),
        ),
        command="newnet train rexnet_100 --data imagenet --recipe rexnet -o runs/rexnet",
        source="ReXNet (arXiv 2007.00992) and its authors' training command.",
        hours=NOT_RUN,
        hardware=f"{NOT_RUN}; the authors: 4 GPUs of 128 images each",
        expected=f"{NOT_RUN}; the paper for ReXNet x1.0: top-1 77.9 %",
    ),
    "cifar": NamedRecipe(
        recipe=Recipe(
            lr=0.1,
            base_batch_size=128,
            batch_size=128,
            epochs=200,
            warmup=1,
            weight_decay=5e-4,
            augmentation=Augmentation(crop="random"),
        ),
        command="newnet train newnet_small --cifar-stem --data cifar10 --recipe cifar "
        "-o runs/cifar",
        source="The settings usual for residual networks on CIFAR; one epoch of warm-up.",
        hours=f"{NOT_RUN} in full length; 40 epochs: 0.08 on a GPU shared with four other runs",
        hardware="a GPU; 2 cores for --epochs 3",
        expected=f"{NOT_RUN} in full length; 40 epochs: 88.20 % (87.55 to 88.82), see docs/cifar.md; "
        "the goal of 94 % is not reached",
    ),
    "finetune": NamedRecipe(
        recipe=Recipe(
            lr=0.02,
            base_batch_size=32,
            batch_size=32,
            epochs=4,
            warmup=0.25,
            weight_decay=1e-4,
            augmentation=Augmentation(scale=(0.5, 1.0), label_smoothing=0.1),
        ),
        command="newnet train efficientnet_lite0 --weights imagenet --data photos/ "
        "--recipe finetune -o runs/photos",
        source="Ours: a low learning rate, crops that keep most of the image.",
        hours="0.4, for 1,600 images, the cores busy with other work",
        hardware="2 cores",
        expected="by `newnet finetune`, which fits the classifier first: 92.75 % (89.78 to 94.90) of "
        "400 flowers, with lr=0.02",
    ),
}


def get_recipe(name: str) -> Recipe:
    """Returns the recipe of a name.

    Args:
        name: str, among `RECIPES`.

    Raises:
        ValueError: if the name is unknown; the message names the nearest ones.
    """
    if name not in RECIPES:
        raise ValueError(
            f"`recipe` (--recipe) must be among {', '.join(RECIPES)}. "
            f"Received: {name!r}{suggestion(name, RECIPES)}"
        )
    return RECIPES[name].recipe
