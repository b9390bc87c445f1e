"""`newnet quantize`: int8 with an eye on what each layer costs, and which are worth keeping float."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from newnet_tf.cli import common, evaluate, export
from newnet_tf.deploy import export_config
from newnet_tf.utils import tables

CALIBRATION, JUDGED = 100, 100  # images, at most
PRECISION = "int8-full"


def arguments_quantize(parser):
    parser.add_argument("model", help="a network of the zoo, or a .keras file")
    parser.add_argument(
        "--calibration",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"images to measure ranges on; {CALIBRATION} at most are drawn",
    )
    parser.add_argument("--images", type=Path, metavar="DIR",
                        help="labeled images to judge by, a folder a class or ImageNet's wnids; "
                        "default: those calibrated on, without top-1")  # fmt: skip
    parser.add_argument("--sensitivity", action="store_true",
                        help="what each layer costs, as CSV and PNG, and a proposal")  # fmt: skip
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--keep-float", type=_number_or_names, metavar="N|LAYER[,LAYER]",
                        help="the N layers that cost most, or those named, stay float32")  # fmt: skip
    chosen.add_argument("--budget", type=float, metavar="POINTS",
                        help="as few stay float32 as let top-1 lose at most so much")  # fmt: skip
    parser.add_argument("--ranges", choices=export_config.RANGES, default=export_config.BEST,
                        help="how ranges of maps are chosen; default: %(default)s")  # fmt: skip
    common.add_weights_arguments(parser)
    parser.add_argument("--classes", type=int, help="number of classes of your checkpoint")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/quantize"))
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "With --sensitivity alone no TFLite file is written. A layer's SQNR is that of the network's\n"
        "logits where this layer alone is int8. Images that were calibrated on do not judge."
    )


def _number_or_names(text: str) -> int | list[str]:
    try:
        return int(text)
    except ValueError:
        return text.split(",")


@dataclass(frozen=True)
class Judges:
    """The images to judge by, and a class for each, None where nobody knows."""

    paths: list
    labels: list | None


def run_quantize(arguments):
    _check(arguments)
    loaded = common.load_asked(arguments)
    export.must_be_trained(loaded)
    calibration = common.readable(
        arguments.calibration,
        export.LEAST_CALIBRATION,
        "--calibration",
        loaded.preprocess.image_size,
        _drawn(common.image_files([arguments.calibration]), CALIBRATION),
    )
    judges = _judges(arguments, loaded, calibration)
    named = arguments.exclude_layers if isinstance(arguments.exclude_layers, list) else []
    report, keep, layers = {"model": loaded.name}, named, []
    is_chosen = arguments.exclude_layers or arguments.budget is not None
    with common.no_warnings():
        if arguments.sensitivity or (is_chosen and not named):
            study = _study(loaded, calibration, judges, arguments.ranges)
            layers = study.measure(min(JUDGED, study.images))
            keep = named or _kept(arguments, study, layers, report)
            if arguments.sensitivity:
                _write(arguments.output_dir, loaded.name, layers, study, keep, report)
        is_file = arguments.exclude_layers is not None or arguments.budget is not None
        if is_file or not arguments.sensitivity:
            report["files"] = [_export(arguments, loaded, calibration, judges, keep)]
    if arguments.json:
        print(tables.to_json(report))
        return
    if arguments.sensitivity:
        print(f"{tables.table(rows(layers, keep), right=NUMBERS)}\n")
    for line in (report.get("budget"), report.get("proposal")):
        print(f"{line}\n" if line else "", end="")
    if "files" in report:
        print(tables.table(report["files"], right=("MB",)))


def _check(arguments) -> None:
    if isinstance(arguments.exclude_layers, int) and arguments.exclude_layers < 0:
        raise ValueError(
            f"`--keep-float` must not be negative. Received: {arguments.exclude_layers}"
        )
    if arguments.budget is not None and not arguments.budget >= 0:
        raise ValueError(f"`--budget` must not be negative. Received: {arguments.budget}")
    if arguments.budget is not None and arguments.images is None:
        raise ValueError("`--budget` needs --images, labeled, to count top-1. Received: none")


def _drawn(paths: Sequence[Path], count: int) -> list[Path]:
    """Returns a seeded sample, in order."""
    import numpy as np

    chosen = np.random.RandomState(0).permutation(len(paths))[:count]
    return [paths[i] for i in sorted(chosen)]


def _judges(arguments, loaded: common.Loaded, calibration: list[Path]) -> Judges:
    from newnet_tf.data.datasets.folder import labeled_files

    if arguments.images is None:
        common.note("judging by the images calibrated on; --images gives others, with top-1")
        return Judges(calibration, None)
    paths, labels, names = labeled_files(arguments.images)
    index = evaluate.class_index(names, _Classes(loaded))
    used = {path.resolve() for path in calibration}
    left = [(p, index[c]) for p, c in zip(paths, labels, strict=True) if p.resolve() not in used]
    if not left:
        raise ValueError(
            f"{arguments.images} must hold images that are not calibrated on. Received: none"
        )
    return Judges([path for path, _ in left], [label for _, label in left])


class _Classes:
    """A model's classes, as `evaluate.class_index` asks for them."""

    def __init__(self, loaded: common.Loaded):
        self.class_names = loaded.class_names
        self.classes = loaded.model.output_shape[-1]

    @property
    def is_imagenet(self) -> bool:
        from newnet_tf.data.labels import imagenet_names

        return self.class_names == imagenet_names()


def _study(loaded: common.Loaded, calibration, judges: Judges, ranges: str):
    from newnet_tf.deploy.quantization.sensitivity import Sensitivity

    common.note(f"{loaded.name}: measuring ranges on {len(calibration)} images")
    return Sensitivity(
        loaded.model,
        loaded.preprocess,
        calibration,
        judges.paths,
        judges.labels,
        calibration_method=ranges,
        say=common.note,
    )


def _kept(arguments, study, layers, report: dict) -> list[str]:
    """Returns the layers to keep float32, the worst first."""
    from newnet_tf.deploy.quantization.sensitivity import worst

    if arguments.budget is not None:
        keep, loss = _within(arguments.budget, study, worst(layers, len(layers)))
        report["budget"] = (
            f"top-1 loses {loss:.2f} points on {study.images} images with {len(keep)} of "
            f"{len(layers)} layers float32{': ' if keep else ''}{', '.join(keep)}"
        )
        return keep
    if arguments.exclude_layers is not None:
        if arguments.exclude_layers > len(layers):
            raise ValueError(
                f"`--keep-float` must be at most {len(layers)}, the layers of {report['model']}. "
                f"Received: {arguments.exclude_layers}"
            )
        return [layer.name for layer in worst(layers, arguments.exclude_layers)]
    keep = [layer.name for layer in worst(layers)]
    report["proposal"] = _proposal(study, layers, keep)
    return keep


def _within(budget: float, study, ranked) -> tuple[list[str], float]:
    """Returns the shortest beginning of `ranked` that keeps the loss within `budget`, and the loss.

    Raises:
        ValueError: where half of the layers do not suffice.
    """
    best = None
    for count in range(len(ranked) // 2 + 1):
        keep = [layer.name for layer in ranked[:count]]
        loss = study.loss(keep)
        common.note(f"{count} layers float32: top-1 loses {loss:.2f} points")
        if loss <= budget:
            return keep, loss
        best = loss if best is None else min(best, loss)
    raise ValueError(
        f"`--budget` must be within reach of half of the {len(ranked)} layers kept float32; "
        f"nothing was written. Received: {budget}, where the least loss was {best:.2f} points"
    )


def _proposal(study, layers, keep: list[str]) -> str:
    """Says in words what keeping the worst layers float32 would gain, measured."""
    before, after = study.judge()[0], study.judge(keep)[0]
    share = sum(layer.share for layer in layers if layer.name in keep)
    return (
        f"Proposal: --keep-float {','.join(keep)}, which make {share:.0%} of the error. "
        f"Measured on {study.images} images: SQNR {before.sqnr:.1f} dB with all in int8, "
        f"{after.sqnr:.1f} dB so; top-1 agreement with float {before.top1_matches} and {after.top1_matches}."
    )


NUMBERS = ("SQNR dB", "share", "agreement", "top-1")


def rows(layers, keep: Sequence[str]) -> list[dict]:
    """Lines of a table: every layer, in the network's order."""
    return [
        {
            "layer": layer.name,
            "SQNR dB": f"{layer.found.sqnr:.1f}",
            "share": f"{layer.share:.1%}",
            "agreement": f"{100 * layer.found.top1_matches / layer.found.images:.1f}",
            "top-1": "" if layer.won is None else f"{100 * layer.won / layer.found.images:+.1f}",
            "float": "yes" if layer.name in keep else "",
        }
        for layer in layers
    ]


def _write(folder: Path, name: str, layers, study, keep: Sequence[str], report: dict) -> None:
    """Writes the table and its drawing."""
    from newnet_tf.training.run_files import beside, write
    from newnet_tf.visualization import charts

    table = rows(layers, keep)
    path = folder / f"{name}.sensitivity.csv"
    with beside(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    values = [(layer.name, layer.found.sqnr) for layer in layers]
    write(path.with_suffix(".png"), charts.png(charts.sensitivity(values, keep)))
    report["layers"] = table
    common.note(f"wrote {path} and {path.with_suffix('.png').name}")


def _export(arguments, loaded: common.Loaded, calibration, judges: Judges, keep) -> dict:
    from newnet_tf.data import sidecar
    from newnet_tf.deploy import export_tflite

    [result] = export_tflite(
        loaded.model,
        loaded.preprocess,
        arguments.output_dir,
        name=loaded.name,
        precisions=[PRECISION],
        calibration_images=calibration,
        exclude_layers=keep,
        calibration_method=arguments.ranges,
        validation_images=_drawn(judges.paths, JUDGED),
    )
    if loaded.class_names:
        sidecar.save_labels(result.file, loaded.class_names)
    return export.row(result)
