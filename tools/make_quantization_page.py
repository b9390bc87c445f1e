"""Writes `docs/quantization.md`: what each precision costs, and which families take it.

    python -m tools.make_quantization_page

A test checks that the committed file is fresh.
"""

from pathlib import Path

from newnet_tf import results
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from tools.make_zoo_page import markdown
from tools.measure_calibration_methods import NONE, VARIANTS
from tools.measure_export_matrix import kinds, representatives

PAGE = Path(__file__).resolve().parents[1] / "docs" / "quantization.md"
MAX_REASON = 160  # letters
INTRODUCTION = """# Quantization

Written by `tools/make_quantization_page.py` from `quantization.csv`, `calibration_methods.csv` and
`export_matrix.csv` in `newnet_tf/results/`; how to use it all is in [deploy.md](deploy.md).

## Precisions

TensorFlow calls `int8-full` full integer quantization, `int8-dynamic` dynamic range quantization, and
`int8-weights` weight-only quantization.

"""
FIGURES = """## What they cost, with real weights

    python -m tools.measure_quantization --samples DIR --mobilenet FILE --squeezenet FILE --foreign FILE

100 seeded images calibrate; on the other 400 each file is compared with its Keras model. *Change*
is top-1 against Keras on the same images, with the 95 % interval of paired proportions; *lost, won*
are images newly wrong and newly right; *agrees* is the share with the same top-1 prediction; *time*
is the ratio to fp32 on one thread, files run in turn. `no images` are `int8-dynamic` and
`int8-weights` without calibration images, which otherwise round their kernels and correct their
biases as `int8-full` does; `first layer float` is `int8-full` whose first kernels, which have three
channels only, stay float32 (`newnet quantize --exclude-layers LAYER`): faster on the machine that
measured, but no more accurate. The images are mostly training images: the change counts, not the
level.

"""
TRAINED = r"""## Models with squeeze-and-excitation or swish

    python tools/train_cifar.py --data TARBALL -o runs/cifar --also rexnet_100 \
        --also mobilenet_v3_small --short 4 --max-samples 20000 \
        --set batch_size=256,lr=0.1,weight_decay=5e-4,dtype=float32
    python -m tools.measure_quantization --cifar TARBALL --trained runs/cifar --precision fp32,int8-full

No ImageNet weights of these are available, so those of [cifar.md](cifar.md) are used, on 1,000
seeded test images, compared with their own float models: EfficientNet-B0 and ReXNet have swish and
squeeze-and-excitation, MobileNetV3 hard swish and squeeze-and-excitation, MnasNet-A1 and
NewNetSmall squeeze-and-excitation. ReXNet and MobileNetV3 were trained for four epochs of 20,000
images only. *SQNR of 99 %* leaves out the 1 % of images with the largest error: EfficientNet-B0,
trained for 8 epochs, has outlier activations on a few of the 1,000 images, in float32 as well, and
their logits, up to eight times the usual, cause most of its error. A note says where an export
verified on these images would be refused.

"""
METHODS = """## Calibration methods and corrections

    python -m tools.measure_calibration_methods --samples DIR --mobilenet FILE --squeezenet FILE
    python -m tools.measure_calibration_methods --cifar TARBALL --trained runs/cifar

SQNR of the logits in dB / agreement in % with the float model / change of top-1 in points, each
model calibrated once. The first column is what `int8-full` does: ranges of the least mean squared
error, kernels rounded by GPTQ, biases corrected. The last also equalizes the channels of
activations where that changes no output (`tools/equalization.py`), which gains too little to be
used. SQNR shows most reliably which is better; with 400 images one is a quarter of a point.

"""
MATRIX = """## Which families take which precision

    python -m tools.measure_export_matrix

The cheapest model of each family, with random weights: this says what can be made and run, not how
accurate it is. A number is the partitions that XNNPACK takes (1: the whole graph; 0: none, the
interpreter's own kernels run it), +n the operators that it leaves; `no` has its reason below, `-`
is not tried yet.

"""


def page() -> str:
    """Returns the text of the page."""
    precisions = [
        {"precision": f"`{name}`", "what": precision.summary}
        for name, precision in PRECISIONS.items()
    ]
    rows, matrix = results.read("quantization"), results.read("export_matrix")
    cifar = [row for row in rows if row["data"].startswith("cifar10")]
    imagenet = [row for row in rows if row not in cifar]
    parts = [INTRODUCTION, markdown(precisions), "\n"]
    parts += [FIGURES, markdown([_figures(row) for row in imagenet]), "\n"]
    parts += [TRAINED, markdown([_figures(row) for row in cifar]), "\n"]
    parts += [METHODS, markdown(_methods(results.read("calibration_methods"))), "\n"]
    parts += [MATRIX, markdown(_matrix(matrix)), "\n", _reasons(matrix)]
    return "".join(parts).rstrip("\n") + "\n"


def _figures(row) -> dict[str, str]:
    interval = f"{row['difference_low']} to {row['difference_high']}"
    return {
        "model": f"`{row['model']}`",
        "precision": f"`{row['precision']}`",
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


def _methods(rows) -> list[dict[str, str]]:
    """Returns a line for each model, with a column for each method and corrections."""
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        column = f"{row['calibration_method']}, {row['corrections'].replace('+', ' and ')}"
        line = table.setdefault(row["model"], {"model": f"`{row['model']}`"})
        line[column] = f"{float(row['sqnr_db']):.1f} / {row['agreement']} / {row['difference']}"
    order = [f"{method}, {' and '.join(names) or NONE}" for method, names in VARIANTS]
    return [
        {"model": line["model"]} | {column: line.get(column, "") for column in order}
        for _, line in sorted(table.items())
    ]


def _matrix(rows) -> list[dict[str, str]]:
    cells = {(row["family"], row["precision"]): row for row in rows}
    return [
        {"family": family, "model": f"`{name}`"}
        | {kind: _cell(cells.get((family, kind))) for kind in kinds()}
        for family, name in sorted(representatives().items())
    ]


def _cell(row) -> str:
    if row is None:
        return "-"
    if row["result"] != "works":
        return "no"
    return row["partitions"] + (f" +{row['fallback_ops']}" if row["fallback_ops"] != "0" else "")


def _reasons(rows) -> str:
    """Returns a list of the files that cannot be made, with the reasons."""
    failed = [row for row in rows if row["result"] != "works"]
    return "".join(
        f"- `{row['model']}`, {row['precision']}: "
        f"{row['result'].partition('Received: ')[2][:MAX_REASON]}\n"
        for row in failed
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
