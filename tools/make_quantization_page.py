"""Writes `docs/quantization.md`: what each recipe costs, and which families take it.

    python -m tools.make_quantization_page

A test checks that the committed file is fresh.
"""

from pathlib import Path

from newnet_tf import results
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from tools.make_zoo_page import markdown
from tools.measure_ranges import NOTHING, WAYS
from tools.measure_recipes import representatives, wanted

PAGE = Path(__file__).resolve().parents[1] / "docs" / "quantization.md"
LONGEST = 160  # letters of a reason
INTRODUCTION = """# Quantization

Written by `tools/make_quantization_page.py` from `newnet_tf/results/quantization.csv`, `ranges.csv`
and `recipes.csv`; how to use it all is in [deploy.md](deploy.md).

## Recipes
"""
FIGURES = """## What they cost, with real weights

    python -m tools.measure_quantization --samples DIR --mobilenet FILE --squeezenet FILE --peer FILE

100 seeded images calibrate; the other 400 judge each file against its Keras model. *Change* is top-1
against Keras on the same images, with the 95 % interval of paired proportions; *lost, won* are
images newly wrong and newly right; *agrees* is the share with the same best class; *time* is the
ratio to fp32 on one thread, files run in turn. `no images` is what `int8-dynamic` and `int8-weights`
are without calibration images, which round their filters and correct their biases as `int8-full`'s;
`first layer float` is `int8-full` whose first filters, which see three channels only, stay float32
(`newnet quantize --keep-float LAYER`): quicker on the machine that measured, but no closer.
The images are mostly training images: the change tells, not the level.
"""
TRAINED = r"""## Networks with squeeze-and-excitation or swish

    python tools/train_cifar.py --data TARBALL -o runs/cifar --also rexnet_100 \
        --also mobilenet_v3_small --short 4 --limit 20000 \
        --set batch=256,lr=0.1,weight_decay=5e-4,dtype=float32
    python -m tools.measure_quantization --cifar TARBALL --runs runs/cifar --precision fp32,int8-full

No ImageNet weights of these are at hand, so they are judged with those of [cifar.md](cifar.md), on
1,000 seeded test images, against their float selves: EfficientNet-B0 and ReXNet have swish and
squeeze-and-excitation, MobileNetV3 hard swish and squeeze-and-excitation, MnasNet-A1 and NewNetSmall
squeeze-and-excitation. ReXNet and MobileNetV3 were trained for four epochs of 20,000 images only.
*SQNR of 99 %* leaves out the 1 % of images with the largest error: EfficientNet-B0, trained for 8
epochs, blows up on a few of the 1,000 images, in float32 as well, and their logits, up to eight times
the usual, are most of its error. A note says where an export judged by these images would be refused.
"""
RANGES = """## Ranges and corrections

    python -m tools.measure_ranges --samples DIR --mobilenet FILE --squeezenet FILE
    python -m tools.measure_ranges --cifar TARBALL --runs runs/cifar

SQNR of the logits in dB / agreement in % with the float network / change of top-1 in points, each
network calibrated once. The first column is what `int8-full` does: ranges by least squares, filters
rounded by what they see, biases corrected. The last also evens out the channels of maps where that
changes no answer (`tools/equalization.py`), which gains too little to be done. SQNR tells most surely
which is better; with 400 images one is a quarter of a point.
"""
MATRIX = """## Which families take which recipe

    python -m tools.measure_recipes

The cheapest network of each family, with random weights: this says what can be made and run, not how
well it answers. A number is the pieces that XNNPACK takes (1: whole; 0: none, the interpreter's own
kernels run it), +n the operators it leaves; `no` has its reason below, `-` is not tried yet.
"""


def page() -> str:
    """Returns the text of the page."""
    kinds = [{"recipe": f"`{name}`", "what": kind.summary} for name, kind in PRECISIONS.items()]
    rows, tried = results.read("quantization"), results.read("recipes")
    trained = [row for row in rows if row["data"].startswith("cifar10")]
    real = [row for row in rows if row not in trained]
    parts = [INTRODUCTION, markdown(kinds), FIGURES, markdown([_figures(row) for row in real])]
    parts += [TRAINED, markdown([_figures(row) for row in trained])]
    parts += [RANGES, markdown(_ways(results.read("ranges")))]
    parts += [MATRIX, markdown(_matrix(tried)), *_reasons(tried)]
    return "\n".join(parts)


def _figures(row) -> dict[str, str]:
    interval = f"{row['difference_low']} to {row['difference_high']}"
    return {
        "network": f"`{row['model']}`",
        "recipe": f"`{row['precision']}`",
        "MB": row.get("size_mb", ""),
        "time": row.get("ratio", ""),
        "top-1": row["top1"],
        "change": f"{row['difference']} ({interval})" if row["difference"] else "",
        "lost, won": f"{row['lost']}, {row['won']}" if row["difference"] else "",
        "agrees %": row["agreement"],
        "SQNR dB": row["sqnr_db"],
        "SQNR of 99 %": row.get("sqnr_usual_db", ""),
        "note": row["note"],
    }


def _ways(rows) -> list[dict[str, str]]:
    """A line for each network, a column for each way to quantize it."""
    table = {}
    for row in rows:
        way = f"{row['ranges']}, {row['corrections'].replace('+', ' and ')}"
        line = table.setdefault(row["model"], {"network": f"`{row['model']}`"})
        line[way] = f"{float(row['sqnr_db']):.1f} / {row['agreement']} / {row['difference']}"
    order = [f"{ranges}, {' and '.join(kinds) or NOTHING}" for ranges, kinds in WAYS]
    return [
        {"network": line["network"]} | {way: line.get(way, "") for way in order}
        for _, line in sorted(table.items())
    ]


def _matrix(tried) -> list[dict[str, str]]:
    found = {(row["family"], row["recipe"]): row for row in tried}
    return [
        {"family": family, "network": f"`{name}`"}
        | {recipe: _cell(found.get((family, recipe))) for recipe in wanted()}
        for family, name in sorted(representatives().items())
    ]


def _cell(row) -> str:
    if row is None:
        return "-"
    if row["result"] != "works":
        return "no"
    return row["partitions"] + (f" +{row['outside']}" if row["outside"] != "0" else "")


def _reasons(tried) -> list[str]:
    failed = [row for row in tried if row["result"] != "works"]
    lines = [
        f"- `{row['network']}`, {row['recipe']}: {row['result'].partition('Received: ')[2][:LONGEST]}"
        for row in failed
    ]
    return ["\n".join([*lines, ""])] if lines else []


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
