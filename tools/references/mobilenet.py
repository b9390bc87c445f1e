"""MobileNetV1, MobileNetV2, EfficientNet-Lite: timm's class, and three other naming kinds."""

from torch import nn

from newnet_tf.applications.mobilenet_v2 import gluon_names
from tools.references import Reference, attribute, pytorchcv, timm, torchvision

WIDTHS = {"v1": (0.25, 0.5, 0.75, 1.0), "v2": (0.5, 1.0, 1.4)}
STYLES = {"": {}, "tf_": {"pad_type": "same", "bn_eps": 1e-3}}


def _timm(version, width, style):
    make = f"_gen_mobilenet_{version}"
    name = f"mobilenet{version}_100"
    return lambda: attribute("timm.models.efficientnet", make)(name, width, **style)


def _mobilenets():
    for version, widths in WIDTHS.items():
        for width in widths:
            for prefix, style in STYLES.items():
                stem = f"{prefix}mobilenet_{version}_{round(width * 100):03}"
                what = f"timm MobileNet{version.upper()} x{width} {style or ''}".strip()
                yield stem, Reference(what, _timm(version, width, style))


def _lite0():
    make = attribute("efficientnet_lite_pytorch", "EfficientNet").from_name
    return make("efficientnet-lite0")


def _gluon():
    """pytorchcv's network, which has GluonCV's first block, with a classifier bias as GluonCV's."""
    model = pytorchcv("mobilenetv2", "mobilenetv2_w1")()
    model.output = nn.Sequential(nn.Conv2d(1280, 1000, 1), nn.Flatten())
    return model


def _gluon_rename(model):
    """Both list their modules in order of depth."""
    modules = dict(model.named_modules())
    leaves = [n for n, m in modules.items() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    ends = ("stem_conv", "stem_bn", "final_conv", "final_bn", "classifier")
    layers = gluon_names()
    layer_names = [*ends[:2], *(layer for layer in layers if layer not in ends), *ends[2:]]
    prefix = {leaf: layers[layer] for leaf, layer in zip(leaves, layer_names, strict=True)}
    renamed = {}
    for name in model.state_dict():
        module, _, kind = name.rpartition(".")
        if isinstance(modules[module], nn.BatchNorm2d):
            kind = {"weight": "gamma", "bias": "beta"}.get(kind, kind)
        renamed[name] = f"{prefix[module]}_{kind}"
    return renamed


REFERENCES = {
    **dict(_mobilenets()),
    "efficientnet_lite0": Reference("timm tf_efficientnet_lite0", timm("tf_efficientnet_lite0")),
    "efficientnet_lite1": Reference(
        "timm tf_efficientnet_lite1", timm("tf_efficientnet_lite1"), image_size=240
    ),
    "efficientnet_lite2": Reference(
        "timm tf_efficientnet_lite2", timm("tf_efficientnet_lite2"), image_size=260
    ),
    # pads for its native image size at any size, so a second size is not compared
    "efficientnet_lite0.package": Reference(
        "efficientnet_lite_pytorch lite0", _lite0, second_size=None
    ),
    "mobilenet_v2_100.torchvision": Reference(
        "torchvision mobilenet_v2", torchvision("mobilenet_v2")
    ),
    "gluon_mobilenet_v2_100": Reference("pytorchcv mobilenetv2_w1", _gluon, rename=_gluon_rename),
}
