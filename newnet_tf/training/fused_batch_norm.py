"""Batch norm for training in one operation of TensorFlow's or PyTorch's.

Keras computes the mean, the variance and the normalization one after the other, and so does its
gradient: several passes over feature maps that are too large for the cache. Both frameworks have one
kernel for all of it and one for its gradient; JAX compiles a whole step and needs none.
"""

import functools

from newnet_tf.utils.lazy import LazyModule, keras

tf, torch = LazyModule("tensorflow"), LazyModule("torch")


def with_fused_norms(model):
    """Returns a Keras model of the same layers and variables whose batch norms train fused.

    In inference the layers themselves are called; training differs from theirs by rounding. Layers
    that the kernel does not support (another axis than the last, no scale or offset, statistics across
    replicas, float64) stay as they are, and so do all under JAX.

    Args:
        model: Keras functional model.
    """
    if keras.backend.backend() == "jax":
        return keras.Model(model.input, model.output, name=model.name)

    def call(layer, *arguments, **options):
        if is_fusable(layer):
            return fused_norm()(layer)(*arguments)  # `options` hold no more than an empty mask
        return layer(*arguments, **options)

    clone = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)
    clone.name = model.name
    return clone


def is_fusable(layer) -> bool:
    """Returns whether there is a kernel that does in training what `layer` does.

    Args:
        layer: Keras layer.
    """
    if type(layer) is not keras.layers.BatchNormalization:
        return False
    is_last = layer.axis in (-1, 3) and layer.input_spec.ndim == 4
    has_both = layer.scale and layer.center
    is_plain = not layer.synchronized and not getattr(layer, "renorm", False)
    return is_last and has_both and is_plain and layer.compute_dtype != "float64"


@functools.cache
def fused_norm() -> type:
    """Returns the class `FusedNorm`; Keras is imported only now."""

    class FusedNorm(keras.layers.Layer):
        """Replaces a batch norm while a model trains.

        Args:
            norm: `keras.layers.BatchNormalization`, built; its variables are used and updated.
        """

        def __init__(self, norm):
            super().__init__(name=f"{norm.name}_fused", dtype=norm.dtype_policy)
            self.norm = norm
            self.built = True

        def call(self, x, training=None):
            norm = self.norm
            if not training or not norm.trainable:
                return norm(x, training=False)
            if keras.backend.backend() == "torch":
                return normalized_by_torch(x, norm)
            return _normalized_by_tensorflow(x, norm)

        def compute_output_shape(self, input_shape):
            return input_shape

    return FusedNorm


def _normalized_by_tensorflow(x, norm):
    """Normalizes a batch by its own statistics, and moves the layer's towards them."""
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=norm.gamma,
        offset=norm.beta,
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=norm.epsilon,
        is_training=True,
    )
    count = tf.cast(tf.size(x) // x.shape[-1], "float32")
    biased = variance * (count - 1) / count  # the kernel's variance is unbiased, Keras' is not
    for moving, value in ((norm.moving_mean, mean), (norm.moving_variance, biased)):
        moving.assign(moving * norm.momentum + value * (1 - norm.momentum))
    return y


def normalized_by_torch(x, norm):
    """As `_normalized_by_tensorflow`, in PyTorch."""
    y, mean, inverse = torch.native_batch_norm(
        x.permute(0, 3, 1, 2),
        norm.gamma.value,
        norm.beta.value,
        None,
        None,
        True,
        0.0,
        norm.epsilon,
    )
    with torch.no_grad():
        variance = inverse**-2 - norm.epsilon
        norm.moving_mean.value.lerp_(mean.float(), 1 - norm.momentum)
        norm.moving_variance.value.lerp_(variance.float(), 1 - norm.momentum)
    return y.permute(0, 2, 3, 1)
