"""The models, as in `keras.applications`: `from newnet_tf.applications import NewNetSmall`.

One family is one module, with `preprocess_input`, `decode_predictions` and the constructors.
"""

from newnet_tf.applications import (
    alexnet as alexnet,
    amoebanet as amoebanet,
    chamnet as chamnet,
    condensenet as condensenet,
    darts as darts,
    densenet as densenet,
    dpn as dpn,
    efficientnet as efficientnet,
    efficientnet_lite as efficientnet_lite,
    fbnet as fbnet,
    ghostnet as ghostnet,
    inception_resnet_v2 as inception_resnet_v2,
    inception_v3 as inception_v3,
    inception_v4 as inception_v4,
    lenet as lenet,
    mixnet as mixnet,
    mnasnet as mnasnet,
    mobilenet_v1 as mobilenet_v1,
    mobilenet_v2 as mobilenet_v2,
    mobilenet_v3 as mobilenet_v3,
    multi_resnet as multi_resnet,
    nasnet as nasnet,
    newnet as newnet,
    pelee as pelee,
    pnasnet as pnasnet,
    polynet as polynet,
    proxylessnas as proxylessnas,
    pyramidnet as pyramidnet,
    randwire as randwire,
    resnet as resnet,
    rexnet as rexnet,
    rexnet_lite as rexnet_lite,
    senet as senet,
    shufflenet_v1 as shufflenet_v1,
    shufflenet_v2 as shufflenet_v2,
    squeezenet as squeezenet,
    vgg as vgg,
    xception as xception,
    xception_small as xception_small,
)
from newnet_tf.models import variants

globals().update(variants.constructors())
__all__ = list(variants.constructors())
