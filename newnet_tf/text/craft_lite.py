"""CRAFT-lite: CRAFT's two score maps from any light-weight backbone of the zoo.

After CRAFT (arXiv 1904.01941) and the DEVIEW 2019 talk on light-weight models; see `lite_decoder`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from newnet_tf.text import catalog

if TYPE_CHECKING:
    import keras


def CRAFTLite(
    backbone: str = "newnet_small",
    image_size: int | None = 640,
    weights: str | os.PathLike | None = None,
    backbone_weights: str | os.PathLike | None = catalog.DEFAULT,
    stride: int = 2,
    name: str | None = None,
) -> keras.Model:
    """Builds CRAFT-lite.

    Args:
        backbone: str, a model of the zoo with feature maps at strides 2 to 32, with or without a tag of
            its weights. Of its blocks of stride 32 the first three are kept. Default:
            `"newnet_small"`.

        image_size: int or None, height and width of the images in pixels, a multiple of 32; None,
            images of any size. Default: 640.

        weights: str, path or None, weights of the whole text detector: a tag of the card of
            `craft_lite_<backbone>`, or a checkpoint file. Default: None, newly initialized.

        backbone_weights: str, path or None, weights of the backbone, where `weights` is None: a tag of
            its card or a checkpoint file; None initializes it randomly. Default: `"default"`, the tag
            in `backbone`, else those of the backbone's card, if any.

        stride: int among 2, 4, 8, pixels of the image that a cell of the score maps stands for. A
            larger one is faster and finds fewer small words. Default: 2.

        name: str or None, name of the Keras model. Default: None, `craft_lite_<backbone>`.

    Returns:
        `keras.Model` from images of shape (batch, height, width, 3), resized and normalized as
        `get_metadata(model).preprocess` says, height and width multiples of 32, to `{"region": (batch,
        height / stride, width / stride, 1), "affinity": the same}`, float32, as `newnet_tf.text.CRAFT`
        returns them. Its layers keep the backbone's names; further ones are `decoder...`, `head...` and
        `maps`.

    Raises:
        ValueError: for an unknown or unsuitable backbone, an argument outside of the above, or a
            checkpoint that does not fit.

    Example:
        >>> model = CRAFTLite("efficientnet_lite0", backbone_weights=None)
        >>> {name: tensor.shape for name, tensor in model.output.items()}
        {'region': (None, 320, 320, 1), 'affinity': (None, 320, 320, 1)}
    """
    return catalog.craft_lite(backbone).build(
        weights=weights,
        image_size=image_size,
        backbone_weights=backbone_weights,
        stride=stride,
        name=name,
    )
