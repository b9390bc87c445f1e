"""Names of a detector's layers in the files of TensorFlow's Object Detection API and of torchvision."""

from newnet_tf.applications import mobilenet_v2, mobilenet_v3
from newnet_tf.detection.head import BOXES, EXTRA_CHANNELS, MAPS, SCORES
from newnet_tf.models import stages
from newnet_tf.models.config import CheckpointFormat

EXTRACTOR = "FeatureExtractor"
TORCHVISION_HEADS = {BOXES: "regression_head", SCORES: "classification_head"}
V3_STAGES = mobilenet_v3.LARGE


def object_detection_api(backbone: str) -> tuple[CheckpointFormat, ...]:
    """Returns the format of TensorFlow 1's Object Detection API.

    Args:
        backbone: str, name of the backbone's card.

    Returns:
        Tuple of one `CheckpointFormat`; none for a backbone that it does not have.
    """
    found = next((value for name, value in BACKBONES.items() if backbone.startswith(name)), None)
    if found is None:
        return ()
    scope, last, layers = found
    root = f"{EXTRACTOR}/{scope}"
    names = {layer: f"{root}/{module}" for layer, module in layers().items()}
    for i, channels in enumerate(EXTRA_CHANNELS, 1):
        reduce = f"{root}/{last}_1_Conv2d_{i + 1}_1x1_{channels // 2}"
        expand = f"{root}/{last}_2_Conv2d_{i + 1}_3x3_s2_{channels}"
        names |= _slim(f"extra{i}_reduce", reduce)
        names |= _slim(f"extra{i}_depthwise", f"{expand}_depthwise")
        names |= _slim(f"extra{i}_expand", expand)
    for i in range(MAPS):
        for output, part in ((BOXES, "BoxEncodingPredictor"), (SCORES, "ClassPredictor")):
            predictor = f"BoxPredictor_{i}/{part}"
            names |= _slim(f"head{i + 1}_{output}_depthwise", f"{predictor}_depthwise")
            names[f"head{i + 1}_{output}"] = predictor
    return (CheckpointFormat(name="TensorFlow Object Detection API", layers=names, layout="keras"),)


def _slim(layer: str, module: str) -> dict[str, str]:
    """{layer: module} of a convolution and its batch norm, as TF-Slim names them."""
    return {f"{layer}_conv": module, f"{layer}_bn": f"{module}/BatchNorm"}


def _mobilenet_v1() -> dict[str, str]:
    names = _slim("stem", "Conv2d_0")
    for i in range(13):
        names |= _slim(f"block{i}_depthwise", f"Conv2d_{i + 1}_depthwise")
        names |= _slim(f"block{i}_pointwise", f"Conv2d_{i + 1}_pointwise")
    return names


def _mobilenet_v2() -> dict[str, str]:
    return _inverted_residuals(mobilenet_v2.BASE)


def _mobilenet_v3() -> dict[str, str]:
    names = _inverted_residuals(V3_STAGES)
    for i, stage in enumerate(stages.per_block(V3_STAGES)):
        if stage.se_ratio:
            module = f"{_scope(i)}/squeeze_excite"
            names[f"block{i}_se_reduce"] = f"{module}/Conv"
            names[f"block{i}_se_expand"] = f"{module}/Conv_1"
    return names


def _inverted_residuals(table) -> dict[str, str]:
    names = _slim("stem", "Conv") | _slim("final", "Conv_1")
    for i, stage in enumerate(stages.per_block(table)):
        for part in ("expand", "depthwise", "project")[stage.expansion is None :]:
            names |= _slim(f"block{i}_{part}", f"{_scope(i)}/{part}")
    return names


def _scope(block: int) -> str:
    return f"expanded_conv_{block}" if block else "expanded_conv"


BACKBONES = {  # by the beginning of the name: scope, the layer before the extra ones, the layers
    "tf_mobilenet_v1_": ("MobilenetV1", "Conv2d_13_pointwise", _mobilenet_v1),
    "tf_mobilenet_v2_": ("MobilenetV2", "layer_19", _mobilenet_v2),
    "tf_mobilenet_v3_large": ("MobilenetV3", "layer_17", _mobilenet_v3),
}


def torchvision() -> tuple[CheckpointFormat, ...]:
    """Returns the format of torchvision's `ssdlite320_mobilenet_v3_large`."""
    names = _torchvision_backbone()
    for i in range(len(EXTRA_CHANNELS)):
        for n, part in enumerate(("reduce", "depthwise", "expand")):
            names |= _pair(f"extra{i + 1}_{part}", f"backbone.extra.{i}.{n}")
    for i in range(MAPS):
        for output, module in TORCHVISION_HEADS.items():
            prefix = f"head.{module}.module_list.{i}"
            names |= _pair(f"head{i + 1}_{output}_depthwise", f"{prefix}.0")
            names[f"head{i + 1}_{output}"] = f"{prefix}.1"
    return (CheckpointFormat(name="torchvision", layers=names),)


def _torchvision_backbone() -> dict[str, str]:
    """{layer: module}; the expansion of the first block of stride 32 ends the first of two parts."""
    blocks = stages.per_block(V3_STAGES)
    cut = len(blocks) - V3_STAGES[-1].depth
    names = _pair("stem", "backbone.features.0.0")
    for i, stage in enumerate(blocks):
        parts = ["expand", "depthwise", "se", "project"]
        parts = [p for p in parts if p != "se" or stage.se_ratio][stage.expansion is None :]
        block = f"features.0.{i + 1}.block" if i < cut else f"features.1.{i - cut}.block"
        for n, part in enumerate(parts):
            module = f"backbone.{block}.{n}"
            if i == cut:
                module = f"backbone.features.1.0.{n}" if n else f"backbone.features.0.{cut + 1}"
            if part == "se":
                names[f"block{i}_se_reduce"] = f"{module}.fc1"
                names[f"block{i}_se_expand"] = f"{module}.fc2"
            else:
                names |= _pair(f"block{i}_{part}", module)
    return names | _pair("final", f"backbone.features.1.{len(blocks) - cut}")


def _pair(layer: str, module: str) -> dict[str, str]:
    """{layer: module} of a convolution and its batch norm, as torchvision nests them."""
    return {f"{layer}_conv": f"{module}.0", f"{layer}_bn": f"{module}.1"}
