"""Detectors: raw outputs of sampled anchors, before boxes are decoded."""

import torch
from torch import nn

from newnet_tf.weights import parity
from tools.references import Reference, attribute


class RawOutputs(nn.Module):
    """The backbone and the heads of one of torchvision's detectors, without what surrounds them.

    Args:
        detector: `torch.nn.Module` of `torchvision.models.detection`.
    """

    def __init__(self, detector: nn.Module):
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, images):
        """Returns box codes and scores of the sampled anchors, in one row for each image."""
        outputs = self.head(list(self.backbone(images).values()))
        boxes, scores = outputs["bbox_regression"], outputs["cls_logits"]
        chosen = torch.from_numpy(parity.sampled_anchors(boxes.shape[1]))
        return torch.cat([part[:, chosen].flatten(1) for part in (boxes, scores)], dim=1)


def _torchvision():
    make = attribute("torchvision.models.detection", "ssdlite320_mobilenet_v3_large")
    return RawOutputs(make(weights=None, weights_backbone=None))


REFERENCES = {
    "detection/ssdlite320_mobilenet_v3_large": Reference(
        "torchvision ssdlite320_mobilenet_v3_large", _torchvision, image_size=320
    ),
}
