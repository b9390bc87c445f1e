"""AmoebaNet-A, mobile and large.

Real, Aggarwal, Huang, Le: "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019,
arXiv 1802.01548. The authors' TensorFlow code (tensorflow/tpu, amoeba_net; Apache-2.0) gives the cells
that we follow, without the training-time auxiliary head and drop path; it has no weights. What
differs here: of an odd width a halved map's second convolution takes the larger half, where that
code demands an even one, which the stems of these networks do not have. The paper does not say how
many filters the large network's first convolution has: that code's 32 give the printed figures.
"""

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import cells
from newnet_tf.models.cells import CURRENT, LARGE, PREVIOUS, Cell, Config
from newnet_tf.models.config import INCEPTION, Card, ReportedResults
from newnet_tf.models.variants import Family

NORMAL = Cell(  # paper, figure 5, middle
    nodes=(
        ("average", CURRENT, "max", CURRENT),
        ("separable_3", PREVIOUS, "skip", PREVIOUS),
        ("skip", CURRENT, "average", PREVIOUS),
        ("separable_3", CURRENT, "separable_5", 2),
        ("average", 5, "separable_3", CURRENT),
    ),
    output=(PREVIOUS, 3, 4, 6),
)
REDUCTION = Cell(  # paper, figure 5, right
    nodes=(
        ("separable_3", PREVIOUS, "average", CURRENT),
        ("max", CURRENT, "separable_7", 2),
        ("max", PREVIOUS, "max", CURRENT),
        ("separable_3", 4, "1x7_7x1", CURRENT),
        ("average", PREVIOUS, "separable_7", CURRENT),
    ),
    output=(2, 3, 4, 5, 6),
)


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    return cells.build(x, config, NORMAL, REDUCTION)


FAMILY = Family(__name__, build=build, build_head=cells.build_head, source="arXiv 1802.01548")
preprocess_input = FAMILY.preprocess_input()

AmoebaNetA = FAMILY.register(
    "AmoebaNetA",
    Config(stem=32, channels=50, depths=(4, 4, 4)),  # paper, table 3: N = 4, F = 50
    Card(
        name="amoebanet_a",
        title="AmoebaNet-A (N = 4, F = 50), mobile",
        preprocess=INCEPTION,
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of NAS models",
            top1_error=24.5,
            top5_error=8.0,
            params=5.1,
            macs=0.56,
        ),
        notes="No public weights exist, and no implementation but the authors' own for TPUs; "
        "parameters and multiply-adds agree with the paper's.",
    ),
)
AmoebaNetALarge = FAMILY.register(
    "AmoebaNetALarge",
    Config(stem=32, channels=190, depths=(6, 6, 6)),  # paper, table 2: N = 6, F = 190
    Card(
        name="amoebanet_a_large",
        title="AmoebaNet-A (N = 6, F = 190), large",
        preprocess=LARGE,
        reported=ReportedResults(
            source="arXiv 1802.01548, table 2",
            top1_error=17.2,
            top5_error=3.9,
            params=86.7,
            macs=23.1,
            image_size=331,
        ),
        notes="No public weights exist, and no implementation but the authors' own for TPUs; "
        "parameters and multiply-adds agree with the paper's.",
    ),
)
