"""Training and evaluation for Keras on PyTorch, in PyTorch's own operations.

Keras transposes every feature map around each convolution, and returns to Python between any two
kernels; a small model then leaves a GPU idle most of the time. Here the same graph of layers, with the
same variables, runs without the transpositions; on a GPU it is captured once (a CUDA graph) and
replayed. The optimizer is Keras' own.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np

from newnet_tf.task import Task
from newnet_tf.training.evaluator import evaluate_batches
from newnet_tf.training.fused_batch_norm import fused_norm, normalized_by_torch
from newnet_tf.utils.lazy import LazyModule, keras

torch = LazyModule("torch")
OPERATIONS = {
    "Add": lambda: torch.add,
    "Multiply": lambda: torch.mul,
}  # operations that are no layers
WARM_UP = 3  # steps before a capture, as PyTorch asks for


def torch_train_step(trained) -> Callable:
    """Returns the step of one process under PyTorch, for `fit(make_step=torch_train_step)`.

    Its losses are those of `train_on_batch` up to rounding.

    Args:
        trained: compiled Keras functional model of `compile_model`.

    Returns:
        Callable, (images, targets) -> values by name, as `trainer.single_step`.

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
        self.graph = self.images = self.targets = self.result = None

    def __call__(self, images, targets) -> dict:
        images, targets = _tensors(images), _tensors(targets)
        if self.images is None:
            device = self.weights[0].device
            self.images = images.to(device)
            self.targets = _each(lambda target: target.to(device), targets)
            if device.type == "cuda":
                self._capture()
        self.images.copy_(images)
        if isinstance(targets, Mapping):
            for name, target in targets.items():
                self.targets[name].copy_(target)
        else:
            self.targets.copy_(targets)
        if self.graph is None:
            self.result = self._gradients()
        else:
            self.graph.replay()
        values, gradients = self.result
        with torch.no_grad():
            self.trained.optimizer.apply(list(gradients), self.trained.trainable_variables)
        return values

    def _gradients(self):
        """Returns the step's values by name, and the gradients, for the current batch."""
        outputs = _float32(run(self.trained, self.images))
        losses = self.trained.compute_losses(self.targets, outputs)
        metrics = self.trained.task.batch_metrics(self.targets, outputs)
        gradients = torch.autograd.grad(losses["loss"], self.weights)
        return {name: value.detach() for name, value in (losses | metrics).items()}, gradients

    def _capture(self) -> None:
        """Captures `_gradients`; batch norm's statistics stay as they are."""
        state = [v.value for v in self.trained.non_trainable_variables]
        copies = [value.clone() for value in state]
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self._gradients()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.result = self._gradients()
        self.graph = graph
        with torch.no_grad():
            for value, before in zip(state, copies, strict=True):
                value.copy_(before)


def make_torch_evaluator(trained, task: Task) -> Callable:
    """Returns the evaluation under PyTorch, for `fit(make_evaluator=make_torch_evaluator)`.

    Args:
        trained: Keras functional model.

        task: `Task`.

    Returns:
        Callable, batches of (images, labels) -> the task's `Metrics`.
    """
    device = trained.trainable_variables[0].value.device

    def predict(images):
        with torch.no_grad():
            outputs = run(trained, torch.from_numpy(images).to(device), training=False)
        return _each(lambda output: output.float().cpu().numpy(), outputs)

    return lambda batches: evaluate_batches(predict, batches, task)


def run(model, images, training: bool = True):
    """Runs a functional model in PyTorch's operations.

    Args:
        model: Keras model.

        images: tensor (n, height, width, channels).

        training: bool, as in Keras. Default: True.

    Returns:
        The model's outputs, tensors. Layers that have no form here are called as they are.
    """
    forms = _forms(training)

    def operation_of(operation):
        form = forms.get(type(operation))
        if form is not None:
            return lambda inputs, **_: form(operation, inputs)  # a mask, `training`: not needed
        if isinstance(operation, keras.Layer):
            return functools.partial(operation, training=training)
        return OPERATIONS.get(type(operation).__name__, lambda: operation)()

    return model._run_through_graph(images, operation_fn=operation_of)


@functools.cache
def _forms(training: bool) -> dict[type, Callable]:
    """Returns {layer type: (layer, inputs) -> output} of the layers that light-weight models use."""
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


def _each(function: Callable, values):
    """Applies a function to a value, or to each of a mapping."""
    if isinstance(values, Mapping):
        return {name: function(value) for name, value in values.items()}
    return function(values)


def _tensors(arrays):
    return _each(lambda array: torch.from_numpy(np.ascontiguousarray(array)), arrays)


def _float32(outputs):
    return _each(lambda output: output.float(), outputs)


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
