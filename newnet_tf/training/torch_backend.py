"""`torch_train_step` and `make_torch_evaluator`: steps and tests for Keras on PyTorch, in PyTorch's own operations.

Keras moves every map into another order and back around each convolution, and asks Python between
any two kernels; a small network then leaves a GPU idle most of the time. Here the same graph of
layers, with the same variables, is run without the moves; on a GPU it is captured once (a CUDA graph)
and replayed.
The optimizer is Keras' own.
"""

import functools
from collections.abc import Callable

import numpy as np

from newnet_tf.training.fused_batch_norm import fused_norm, normalized_by_torch
from newnet_tf.training.metrics import tally
from newnet_tf.utils.lazy import LazyModule, keras

torch = LazyModule("torch")
PLAIN = {"Add": lambda: torch.add, "Multiply": lambda: torch.mul}  # operations that are no layers
WARM = 3  # steps before a capture, as PyTorch asks for


def torch_train_step(trained) -> Callable:
    """Returns the step of one process under PyTorch, for `train(make_step=torch_train_step)`.

    Its losses are those of `train_on_batch` but for rounding.

    Args:
        trained: compiled Keras functional model, from images to logits.

    Returns:
        Callable, (images, targets) -> `{"loss": ..., "accuracy": ...}`.

    Raises:
        ValueError: under another backend, or for mixed_float16, whose loss would have to be scaled.
    """
    if keras.backend.backend() != "torch":
        raise ValueError(
            "`torch_train_step` is for Keras on PyTorch (KERAS_BACKEND=torch). "
            f"Received: {keras.backend.backend()}"
        )
    if isinstance(trained.optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "`torch_train_step` takes float32 and mixed_bfloat16, which need no scaled loss. "
            "Received: mixed_float16"
        )
    return _Step(trained)


class _Step:
    """A step, captured on a GPU at its first call; all batches must be as large as the first."""

    def __init__(self, trained):
        self.trained = trained
        self.weights = [variable.value for variable in trained.trainable_variables]
        self.graph = self.images = self.targets = self.found = None

    def __call__(self, images, targets) -> dict:
        images, targets = (torch.from_numpy(np.ascontiguousarray(x)) for x in (images, targets))
        if self.images is None:
            device = self.weights[0].device
            self.images, self.targets = images.to(device), targets.to(device)
            if device.type == "cuda":
                self._capture()
        self.images.copy_(images)
        self.targets.copy_(targets)
        if self.graph is None:
            self.found = self._gradients()
        else:
            self.graph.replay()
        loss, accuracy, gradients = self.found
        with torch.no_grad():
            self.trained.optimizer.apply(list(gradients), self.trained.trainable_variables)
        return {"loss": loss, "accuracy": accuracy}

    def _gradients(self):
        """Returns loss, accuracy and gradients for the batch at hand."""
        logits = run(self.trained, self.images).float()
        loss = torch.nn.functional.cross_entropy(logits, self.targets)
        is_right = logits.argmax(1) == self.targets.argmax(1)
        return loss.detach(), is_right.float().mean(), torch.autograd.grad(loss, self.weights)

    def _capture(self) -> None:
        """Captures `_gradients`; batch norm's statistics are left as they were."""
        state = [v.value for v in self.trained.non_trainable_variables]
        kept = [value.clone() for value in state]
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM):
                    self._gradients()
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.found = self._gradients()
        self.graph = graph
        with torch.no_grad():
            for value, before in zip(state, kept, strict=True):
                value.copy_(before)


def make_torch_evaluator(trained) -> Callable:
    """Returns what judges a network under PyTorch, for `train(make_evaluator=make_torch_evaluator)`.

    Args:
        trained: Keras functional model, from images to logits.

    Returns:
        Callable, batches of (images, int labels) -> `EvalResult`.
    """
    device = trained.trainable_variables[0].value.device

    def predict(images):
        with torch.no_grad():
            logits = run(trained, torch.from_numpy(images).to(device), training=False)
        return logits.float().cpu().numpy()

    return lambda batches: tally(predict, batches).judged


def run(model, images, training: bool = True):
    """Runs a functional model in PyTorch's operations.

    Args:
        model: Keras model. images: tensor (n, height, width, channels).
        training: bool, as in Keras.

    Returns:
        Tensor, the model's output. Layers without an own form here are called as they are.
    """
    forms = _forms(training)

    def operation_of(operation):
        form = forms.get(type(operation))
        if form is not None:
            return lambda inputs, **_: form(operation, inputs)  # a mask, `training`: not needed
        if isinstance(operation, keras.Layer):
            return functools.partial(operation, training=training)
        return PLAIN.get(type(operation).__name__, lambda: operation)()

    return model._run_through_graph(images, operation_fn=operation_of)


@functools.cache
def _forms(training: bool) -> dict[type, Callable]:
    """Returns {layer type: (layer, inputs) -> output}, of what the light networks are made of."""
    layers, functional = keras.layers, torch.nn.functional
    activations = {
        keras.activations.linear: lambda x: x,
        keras.activations.relu: torch.relu,
        keras.activations.relu6: functional.relu6,
        keras.activations.silu: functional.silu,
        keras.activations.sigmoid: torch.sigmoid,
    }

    def activated(layer, x):
        return activations.get(layer.activation, layer.activation)(x)

    def convolved(layer, x):
        kernel, dtype = layer.kernel.value, getattr(torch, layer.compute_dtype)
        is_depthwise = isinstance(layer, layers.DepthwiseConv2D)
        if is_depthwise:
            kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
        x = x.to(dtype)
        if layer.padding == "same":
            x = _padded(x, _same(layer, x.shape))
        y = functional.conv2d(
            x.permute(0, 3, 1, 2),
            kernel.permute(3, 2, 0, 1).to(dtype),
            None if layer.bias is None else layer.bias.value.to(dtype),
            stride=layer.strides,
            dilation=layer.dilation_rate,
            groups=x.shape[-1] if is_depthwise else layer.groups,
        )
        return activated(layer, y.permute(0, 2, 3, 1))

    def dense(layer, x):
        dtype = getattr(torch, layer.compute_dtype)
        y = x.to(dtype) @ layer.kernel.value.to(dtype)
        return activated(layer, y if layer.bias is None else y + layer.bias.value.to(dtype))

    def fused(layer, x):
        if training and layer.norm.trainable:
            return normalized_by_torch(x, layer.norm)
        return layer.norm(x, training=False)

    def zero_padded(layer, x):
        (top, bottom), (left, right) = layer.padding
        return _padded(x, (left, right, top, bottom))

    def pooled(layer, x):
        return x.mean((1, 2), keepdim=layer.keepdims)

    return {
        layers.Activation: activated,
        layers.Conv2D: convolved,
        layers.DepthwiseConv2D: convolved,
        layers.Dense: dense,
        fused_norm(): fused,
        layers.ZeroPadding2D: zero_padded,
        layers.GlobalAveragePooling2D: pooled,
        layers.Add: lambda _, inputs: functools.reduce(torch.add, inputs),
        layers.Multiply: lambda _, inputs: functools.reduce(torch.mul, inputs),
        layers.Concatenate: lambda layer, inputs: torch.cat(inputs, layer.axis),
        layers.Rescaling: lambda layer, x: x * layer.scale + layer.offset,
        layers.Flatten: lambda _, x: x.flatten(1),
        layers.Identity: lambda _, x: x,
        layers.Dropout: lambda layer, x: functional.dropout(x, layer.rate, training),
    }


def _same(layer, shape) -> tuple[int, int, int, int]:
    """Returns what TensorFlow's "same" pads, left, right, top, bottom; the odd pixel comes last."""
    padding = []
    for axis in (2, 1):
        reach = (layer.kernel_size[axis - 1] - 1) * layer.dilation_rate[axis - 1] + 1
        stride = layer.strides[axis - 1]
        missing = max(0, (-(-shape[axis] // stride) - 1) * stride + reach - shape[axis])
        padding += [missing // 2, missing - missing // 2]
    return tuple(padding)


def _padded(x, padding):
    """Pads height and width of (n, height, width, channels)."""
    return torch.nn.functional.pad(x, (0, 0, *padding)) if any(padding) else x
