"""Networks with random weights that behave as trained ones, for files that are only timed."""

import numpy as np

from newnet_tf.cards import Preprocess
from newnet_tf.lazy import keras

PICTURES = 4


def settle(model, preprocess: Preprocess) -> None:
    """Sets the moving statistics of all batch norms to those of the maps that noise makes.

    Fresh batch norms do nothing, so the maps of a deep network grow or shrink from block to block.
    No trained network has such ranges, and XNNPACK refuses 8-bit files that have them.

    Args:
        model: Keras model, changed in place. preprocess: `Preprocess` that it expects.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    kept = [norm.momentum for norm in norms]
    shape = (PICTURES, preprocess.size, preprocess.size, len(preprocess.scale))
    noise = np.random.RandomState(0).randint(0, 256, shape)
    for norm in norms:
        norm.momentum = 0.0
    model((noise * preprocess.scale + preprocess.offset).astype(np.float32), training=True)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
