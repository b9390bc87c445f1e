"""ResNet and the networks of its time: timm's and torchvision's classes."""

import functools

from tools.references import Reference, timm, torchvision

RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext101_32x4d",
    "resnext101_64x4d",
    "wide_resnet50_2",
)
DENSENETS = ("densenet169", "densenet201")
SENETS = ("seresnet50", "seresnext101_32x4d", "senet154")
TORCHVISION = (
    "vgg16",
    "vgg19",
    "vgg16_bn",
    "vgg19_bn",
    "alexnet",
    "squeezenet1_0",
    "squeezenet1_1",
)


def _timm_vgg():
    """timm's network names its dense layers otherwise; its features begin at stride 1."""
    model = timm("vgg16_bn")()
    strides = range(1, 6)
    model.forward_intermediates = functools.partial(model.forward_intermediates, indices=strides)
    return model


REFERENCES = {
    **{name: Reference(f"timm {name}", timm(name)) for name in (*RESNETS, *DENSENETS)},
    **{name: Reference(f"timm legacy_{name}", timm(f"legacy_{name}")) for name in SENETS},
    **{name: Reference(f"torchvision {name}", torchvision(name)) for name in TORCHVISION},
    "xception": Reference("timm legacy_xception", timm("legacy_xception"), image_size=299),
    # pads its last map where torchvision pools it, so it says nothing about another side
    "vgg16_bn.timm": Reference("timm vgg16_bn", _timm_vgg, second_size=None),
}
