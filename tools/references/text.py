"""Text detectors: score maps at every seventh row and column."""

import importlib
import importlib.util
import sys
import types

from torch import nn

from tools.references import Reference

STEP = 7  # of the sizes below the last row and column are among them


class SampledMaps(nn.Module):
    """CRAFT without its second output, sampled.

    Args:
        detector: `torch.nn.Module` from images to (maps, feature map).
    """

    def __init__(self, detector: nn.Module):
        super().__init__()
        self.detector = detector

    def forward(self, images):
        """Returns cells of the region map, then of the affinity map, in one row for each image."""
        maps = self.detector(images)[0]
        return maps.permute(0, 3, 1, 2)[:, :, ::STEP, ::STEP].flatten(1)


def _easyocr():
    """Returns easyocr 1.7.2's CRAFT; the package itself, which needs many others, is not imported."""
    package = types.ModuleType("easyocr")
    package.__path__ = list(importlib.util.find_spec("easyocr").submodule_search_locations)
    sys.modules["easyocr"] = package
    return SampledMaps(importlib.import_module("easyocr.craft").CRAFT())


def _published_names(model: nn.Module) -> dict[str, str]:
    """{name in the model: name in the authors' files}, which a data-parallel module saved."""
    return {name: name.replace("detector.", "module.", 1) for name in model.state_dict()}


REFERENCES = {
    "text/craft": Reference(
        "easyocr 1.7.2 craft",
        _easyocr,
        image_size=128,
        second_size=240,
        rename=_published_names,
    ),
}
