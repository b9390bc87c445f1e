"""ShuffleNets and other compact networks: torchvision, pytorchcv and timm."""

from tools.references import Reference, attribute, pytorchcv, timm, torchvision

SHUFFLENET_V2 = {"050": "x0_5", "100": "x1_0", "150": "x1_5", "200": "x2_0"}


def _shufflenet_v2_140():
    return attribute("torchvision.models", "ShuffleNetV2")([4, 8, 4], [24, 162, 324, 648, 1024])


def _shufflenets():
    for code, reference_name in SHUFFLENET_V2.items():
        name = f"shufflenet_v2_{reference_name}"
        yield f"shufflenet_v2_{code}", Reference(f"torchvision {name}", torchvision(name))


def _ghostnet():
    """timm's network, its features taken at the last blocks of each stride as everywhere else."""
    model = timm("ghostnet_100")()
    model.stage_ends = [0, 2, 4, 6, 8]
    return model


REFERENCES = {
    **dict(_shufflenets()),
    "shufflenet_v2_140": Reference("torchvision ShuffleNetV2 x1.4", _shufflenet_v2_140),
    "shufflenet_v1_100": Reference(
        "pytorchcv shufflenet_g3_w1", pytorchcv("shufflenet", "shufflenet_g3_w1")
    ),
    "shufflenet_v1_200": Reference(
        "pytorchcv get_shufflenet(groups=3, width_scale=2.0)",
        pytorchcv("shufflenet", "get_shufflenet", groups=3, width_scale=2.0),
    ),
    # its stem joins maps of unlike sides, or its last pooling does not fit, at most others
    "pelee": Reference("pytorchcv peleenet", pytorchcv("peleenet", "peleenet"), second_size=223),
    "ghostnet_100": Reference("timm ghostnet_100", _ghostnet),
    "inception_v3": Reference("timm inception_v3", timm("inception_v3"), image_size=299),
    "inception_v4": Reference("timm inception_v4", timm("inception_v4"), image_size=299),
    "inception_resnet_v2": Reference(
        "timm inception_resnet_v2", timm("inception_resnet_v2"), image_size=299
    ),
    "dpn68": Reference("timm dpn68", timm("dpn68")),
    "dpn92": Reference("timm dpn92", timm("dpn92")),
}
