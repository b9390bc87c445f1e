"""ChamNet-A.

Dai et al.: "ChamNet: Towards Efficient Network Design through Platform-Aware Model Adaptation",
arXiv 1812.08934. The paper prints figures and no network. The authors publish ChamNet-A's inference
graph for Caffe2 (facebookresearch/mobile-vision, CC BY-NC 4.0), which the table here is read off; its
multiply-adds are the printed ones. That graph has its batch norms folded, so their epsilon is assumed:
PyTorch's 1e-5. The blocks are FBNet's, those of expansion 1 with their expanding convolution. What
differs here: `blocks.classifier` as the head.
"""

from newnet_tf.applications.fbnet import Config, build, build_head, checkpoint_formats
from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models.config import Card, ReportedResults
from newnet_tf.models.stages import Stage
from newnet_tf.models.variants import Family

A = (
    Stage(24, 1, 1, expansion=1),
    Stage(40, 2, 2, expansion=4),
    Stage(48, 3, 2),
    Stage(96, 4, 2, expansion=4),
    Stage(160, 3, 1, expansion=4, continues_stage=True),
    Stage(248, 3, 2, expansion=4),
    Stage(480, 1, 1, continues_stage=True),
)

FAMILY = Family(
    __name__,
    build=build,
    build_head=build_head,
    checkpoint_formats=checkpoint_formats,
    source="arXiv 1812.08934",
)
preprocess_input = FAMILY.preprocess_input()

ChamNet = FAMILY.register(
    "ChamNet",
    Config(A, stem=32, final=2016),
    Card(
        name="chamnet",
        title="ChamNet-A",
        reported=ReportedResults(
            source="facebookresearch/mobile-vision, table of Caffe2 models",
            top1_error=24.6,
            params=6.2,
            macs=0.5529,
            discrepancy="the printed parameters are cut off, not rounded",
        ),
        notes=(
            "Read off the authors' Caffe2 graph; its batch norms are folded, so their epsilon is "
            "assumed. Its weights (CC BY-NC) cannot be read; a checkpoint in timm's names can."
        ),
    ),
)
