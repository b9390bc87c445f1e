"""The zoo's networks, as in `keras.applications`: `from newnet_tf.applications import NewNetSmall`.

One family is one module, with `preprocess_input` and `decode_predictions` beside its constructors.
"""

from newnet_tf import variants
from newnet_tf.applications import (
    efficientnet_lite as efficientnet_lite,
    mobilenet_v1 as mobilenet_v1,
    mobilenet_v2 as mobilenet_v2,
    newnet as newnet,
    rexnet as rexnet,
    rexnet_lite as rexnet_lite,
)

globals().update(variants.constructors())
__all__ = list(variants.constructors())
