"""Names of CRAFT's layers in the files of its authors (and of EasyOCR, which are the same)."""

from newnet_tf.models.config import CheckpointFormat
from newnet_tf.text import vgg_unet
from newnet_tf.text.score_layers import LAYER

SLICES = 4  # modules of the authors' backbone before fc6; each ends at a cut
FC = {"fc6": "basenet.slice5.1", "fc7": "basenet.slice5.2"}


def craft() -> tuple[CheckpointFormat, ...]:
    """Returns the format of the authors' files, such as `craft_mlt_25k.pth`."""
    layers = {f"{name}_{kind}": module for name, kind, module in _backbone()}
    layers |= FC
    for i in range(len(vgg_unet.DECODER)):
        for part, number in (("reduce", 0), ("conv", 3)):
            layers[f"decoder{i}_{part}_conv"] = f"upconv{i + 1}.conv.{number}"
            layers[f"decoder{i}_{part}_bn"] = f"upconv{i + 1}.conv.{number + 1}"
    for i in range(len(vgg_unet.HEAD)):
        layers[f"head{i}_conv"] = f"conv_cls.{2 * i}"
    layers[LAYER] = f"conv_cls.{2 * len(vgg_unet.HEAD)}"
    return (CheckpointFormat(name="CRAFT of its authors", layers=layers),)


def _backbone():
    """Yields layer, `conv` or `bn`, and module: torchvision's numbers of VGG, cut in four slices."""
    index, slice_ = 0, 1
    for stage, (_, depth) in enumerate(vgg_unet.STAGES):
        index += stage > 0  # the pooling
        for n in range(depth):
            for kind in ("conv", "bn"):
                yield f"stage{stage}_{n}", kind, f"basenet.slice{slice_}.{index}"
                index += 1
            index += 1  # the ReLU
            is_cut = stage >= vgg_unet.FIRST_SKIP and n == vgg_unet.CUT - 1
            slice_ = min(slice_ + is_cut, SLICES)
