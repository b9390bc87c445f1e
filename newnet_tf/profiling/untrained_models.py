"""Networks with random weights that behave as trained ones, for files that are only timed."""

import numpy as np

from newnet_tf.models.config import PreprocessConfig
from newnet_tf.utils.lazy import keras

IMAGES = 4


def calibrate_batch_norm(model, preprocess: PreprocessConfig) -> None:
    """Gives all batch norms random offsets, and the statistics of the maps that noise makes.

    Fresh batch norms do nothing: the maps of a deep network grow or shrink from block to block, and
    what is added to some is nearly zero. No trained network has such ranges, and XNNPACK refuses
    8-bit files that have them.

    Args:
        model: Keras model, changed in place. preprocess: `PreprocessConfig` that it expects.
    """
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    kept = [norm.momentum for norm in norms]
    random = np.random.RandomState(0)
    noise = random.randint(0, 256, (IMAGES, *preprocess.shape))
    for norm in norms:
        norm.momentum = 0.0
        norm.beta.assign(random.normal(0, 0.5, norm.beta.shape))
    model((noise * preprocess.scale + preprocess.offset).astype(np.float32), training=True)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
