"""RandWire-WS, small regime.

Xie, Kirillov, Girshick, He: "Exploring Randomly Wired Neural Networks for Image Recognition", ICCV
2019, arXiv 1904.01569. The authors' code, its graphs and weights are not public: these graphs are
connected Watts-Strogatz graphs (32, 4, 0.75) of our seeds (tools/make_randwire.py), one of many
models that the paper's table averages over. The paper leaves open, and we assume: a full 3x3
convolution in conv2 (a separable one would miss the printed cost) and ReLU before pooling.
"""

from dataclasses import dataclass

from newnet_tf.data.labels import decode_predictions as decode_predictions
from newnet_tf.models import blocks, cells
from newnet_tf.models.blocks import TORCH
from newnet_tf.models.config import Card, ReportedResults
from newnet_tf.models.variants import Family
from newnet_tf.utils.lazy import keras

# By stage, the sources of node 0, 1, 2, ...; nodes without any ("-") read the stage's input.
GRAPHS = {
    3: (  # seed 0
        "- 0 1 1 3 - 5 - 5,6 8 9 4 5,10 0,6,11,12 12 4,13 2,3,7,8,14 15 0,2,7,16,17 4,10 0,18 15,19 "
        "4,5,14 7,14 3,9,21 15,19 5,17,20,25 14,25 10,21,27 3,28 9,13,15,19,29 1,7"
    ),
    4: (  # seed 1
        "- - - - 0,1,3 1,3 0,2,5 - 0 6 - 0,1,9,10 0 - 8,10,12,13 0,14 8,14 7,13,16 3,17 6,14 12 20 "
        "11,18,21 1,6,19,21,22 2,14,18 4,7,11,21 22 14,26 1,12,26,27 13,23,25,27 2,4,28 25,28,29"
    ),
    5: (  # seed 2
        "- 0 0,1 - - 2 4 5 0,7 7 2,3,6 6,9 11 3,5 3,10,12,13 2,14 - 1,10,13 4 1,4,11,18 8,12,16 20 "
        "11 0,4,8,16,17,21 2,15 - 0,2,21,22 7,22,25 1,9,22 2,20,23 0,1 0,1,25,28,30"
    ),
}


@dataclass(frozen=True)
class Config:
    """One model of the family: channels of the first random stage (paper, table 1: C)."""

    channels: int = 78


def sources(stage: int) -> list[list[int]]:
    """Every node's sources in a stage's graph."""
    return [[int(i) for i in word.split(",") if i != "-"] for word in GRAPHS[stage].split()]


def build(x, config: Config):
    """Input to the last feature map before pooling."""
    linear = {"act": "linear", "style": TORCH}
    x = blocks.conv_bn_act(x, config.channels // 2, 3, 2, **linear, name="stem")
    x = blocks.tag_feature(x, 2)
    x = cells.relu_conv_bn(x, config.channels, 3, 2, style=TORCH, name="stem2")
    for i, stage in enumerate(GRAPHS):
        x = blocks.tag_feature(x, 4 * 2**i)
        x = random_stage(x, sources(stage), config.channels * 2**i, name=f"stage{stage}")
    x = blocks.tag_feature(x, 32)
    x = cells.relu_conv_bn(x, 1280, style=TORCH, name="final")
    return blocks.activation(x, "relu", name="final_act")


def random_stage(x, graph: list[list[int]], channels: int, *, name):
    """A stage wired by a graph (paper, section 3.1), at stride 2.

    A node adds its sources, each times the sigmoid of a weight of the edge, and applies ReLU, a
    separable convolution and batch norm. The output is the mean of the nodes that no other reads.
    The weights of all edges are one 1x1 convolution of a constant, which exports fold away.
    """
    edges = sum(map(len, graph))
    one = keras.ops.ones_like(x[:, :1, :1, :1])
    weights = blocks.conv(one, edges, style=TORCH, name=f"{name}_edges")
    weights = blocks.activation(weights, "sigmoid", name=f"{name}_weights")
    maps, edge = [], 0
    for n, node_sources in enumerate(graph):
        node, inputs = f"{name}_node{n}", []
        for source in node_sources:
            factors = [maps[source], weights[..., edge : edge + 1]]
            inputs.append(keras.layers.Multiply(name=f"{node}_from{source}")(factors))
            edge += 1
        if len(inputs) > 1:
            inputs = [keras.layers.Add(name=f"{node}_sum")(inputs)]
        options = {"stride": 1 if inputs else 2, "style": TORCH, "name": node}
        maps.append(cells.separable((inputs or [x])[0], channels, 3, **options))
    read = {source for node_sources in graph for source in node_sources}
    unread = [output for n, output in enumerate(maps) if n not in read]
    return keras.layers.Average(name=f"{name}_mean")(unread) if len(unread) > 1 else unread[0]


def build_head(x, config: Config, classes: int):
    """The last feature map to logits."""
    return blocks.classifier(x, classes)


FAMILY = Family(__name__, build=build, build_head=build_head, source="arXiv 1904.01569")
preprocess_input = FAMILY.preprocess_input()

RandWireWSSmall = FAMILY.register(
    "RandWireWSSmall",
    Config(),
    Card(
        name="randwire_ws_small",
        title="RandWire-WS, small regime (C = 78)",
        reported=ReportedResults(
            source="DEVIEW 2019 talk, table of NAS models",
            top1_error=25.3,
            top5_error=7.8,
            params=5.6,
            macs=0.58,
        ),
        notes="No public implementation or weights exist. The graphs are this project's, drawn from "
        "seeds 0, 1, 2; the reported figures are the paper's, for graphs that were not published.",
    ),
)
