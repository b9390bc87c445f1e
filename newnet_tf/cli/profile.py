"""`newnet profile`: what each operator of a network costs on this CPU."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from newnet_tf.cli import benchmark, common
from newnet_tf.deploy import export_config
from newnet_tf.deploy.quantization.precisions import PRECISIONS
from newnet_tf.profiling.operators import Total
from newnet_tf.utils import tables

NUMBERS = ("count", "kernels", "ms", "share", "MMACs", "GMAC/s")
IMAGES = (".png", ".svg")
QUIET = (0.85, 1.1)  # what the parts of an undisturbed run add up to


def arguments_profile(parser):
    parser.add_argument(
        "models", nargs="+", help=f"networks, {benchmark.PEERS}, or .tflite files", metavar="MODEL"
    )
    parser.add_argument(
        "--precision", default="fp32", help=f"among {','.join(PRECISIONS)}; default: fp32"
    )
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument("--rounds", type=int, default=50, help="timed runs of each; default: 50")
    parser.add_argument("--layers", type=int, default=10, help="slowest layers shown; default: 10")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/benchmark"))
    parser.add_argument("--fresh", action="store_true", help="make the files anew")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw shares: .png or .svg")
    parser.add_argument(
        "--flame", type=Path, metavar="FILE", help="draw each file's layers and operators in order"
    )
    parser.add_argument(
        "--record", action="store_true", help="write the table newnet_tf/results/operators.csv"
    )
    parser.add_argument("--json", action="store_true", help="every operator and layer, as JSON")
    parser.epilog = (
        "Networks are built with random weights: their files are for timing only. Times are those\n"
        "of XNNPACK's kernels within the running file, by LiteRT's profiler: the mean of the middle\n"
        "half of all rounds. An operator that runs as part of a neighbor has no kernel and 0 ms.\n"
        "Two files are set side by side, too, by operator and by layer."
    )


def run_profile(arguments):
    from newnet_tf.profiling import operators
    from newnet_tf.visualization import flame_chart

    _check(arguments)
    precisions = arguments.precision.split(",")
    export_config.check_options(precisions, "float32", False, "logits")
    given = [name for name in arguments.models if name.endswith(".tflite")]
    names = list(dict.fromkeys(name for name in arguments.models if name not in given))
    with common.no_warnings():
        made = (
            benchmark.untrained_files(names, precisions, arguments.output_dir, arguments.fresh)
            if names
            else {}
        )
    files = [made[name, precision] for precision in precisions for name in names]
    found = [
        operators.profile(file, threads=arguments.threads, rounds=arguments.rounds)
        for file in (*files, *given)
    ]
    odd = [_title(profile) for profile in found if not QUIET[0] <= profile.coverage <= QUIET[1]]
    if odd:
        common.note(f"parts and whole disagree (busy machine, tiny file): {', '.join(odd)}")
    if arguments.record:
        common.note(f"wrote {operators.record(found)}")
    if arguments.plot:
        _draw(arguments.plot, found, arguments.record)
    if arguments.flame:
        _save(arguments.flame, flame_chart.flames(found, [_title(profile) for profile in found]))
    if arguments.json:
        print(tables.to_json([_record(profile) for profile in found]))
    else:
        texts = [_text(profile, arguments.layers) for profile in found]
        print("\n\n".join([*texts, *([_beside(*found)] if len(found) == 2 else [])]))


def _check(arguments) -> None:
    """Refuses before anything is measured what would fail after it."""
    if arguments.layers < 0:
        raise ValueError(f"--layers must not be negative. Received: {arguments.layers}")
    if arguments.threads < 1 or arguments.rounds < 1:
        raise ValueError(
            "--threads and --rounds must be positive. "
            f"Received: {arguments.threads} and {arguments.rounds}"
        )
    for option in ("plot", "flame"):
        path = getattr(arguments, option)
        if path and path.suffix not in IMAGES:
            raise ValueError(f"--{option} must end in one of {IMAGES}. Received: {path}")


def _draw(path: Path, found: Sequence, recorded: bool) -> None:
    """Draws what was measured; if it was recorded, from the table."""
    from newnet_tf import results
    from newnet_tf.profiling import operators
    from newnet_tf.visualization import op_breakdown

    rows = [row for profile in found for row in operators.rows(profile)]
    if recorded:
        own = {tuple(f"{row[key]}" for key in operators.KEYS) for row in rows}
        table = results.read(operators.TABLE)
        rows = [row for row in table if tuple(row[key] for key in operators.KEYS) in own]
    _save(path, op_breakdown.shares(rows, list(dict.fromkeys(profile.model for profile in found))))


def _save(path: Path, drawn) -> None:
    from newnet_tf.visualization import charts
    from newnet_tf.weights.reader import beside

    with beside(path) as temporary:
        temporary.write_bytes((charts.png if path.suffix == ".png" else charts.svg)(drawn))
    common.note(f"wrote {path}")


def _title(profile) -> str:
    return f"{profile.model} {profile.precision}".rstrip()


def _text(profile, layers: int) -> str:
    threads = f"{profile.threads} thread{'s' * (profile.threads > 1)}"
    by_operator = [{"operator": t.name, **_numbers(t, profile)} for t in profile.by_operator()]
    text = (
        f"{_title(profile)}, {threads}, {profile.rounds} rounds, weights: {profile.weights}\n"
        f"whole file {profile.whole_ms:.2f} ms; its operators add up to {profile.ops_ms:.2f} ms, "
        f"{profile.coverage:.0%} of it\n"
        f"operators without multiply-adds: {profile.without_macs:.1%} of the operators' time\n"
        f"XNNPACK takes {profile.delegation}; {_memory(profile)}\n\n"
        f"{tables.table(by_operator, right=NUMBERS)}"
    )
    slowest = [_layer(total, profile) for total in profile.by_layer()[:layers]]
    return f"{text}\n\n{tables.table(slowest, right=NUMBERS)}" if slowest else text


def _memory(profile) -> str:
    grown = (
        f"; loaded and run it takes {profile.rss_bytes / 1e6:.1f} MB" if profile.rss_bytes else ""
    )
    return f"maps alive at once: {profile.peak_activation_bytes / 1e6:.2f} MB{grown}"


def _beside(first, second) -> str:
    """Two files by operator and by layer, and what the second takes of the first's time."""
    names = [_title(first), _title(second)]
    if names[0] == names[1]:
        names = [
            f"{name} ({place})" for place, name in zip(("first", "second"), names, strict=True)
        ]
    parts = []
    for what in ("operator", "layer"):
        both = [{t.name: t for t in getattr(p, f"by_{what}")()} for p in (first, second)]
        found = sorted(
            dict.fromkeys([*both[0], *both[1]]),
            key=lambda name: -max(totals[name].ms for totals in both if name in totals),
        )
        rows = [_pair(what, name, names, [totals.get(name) for totals in both]) for name in found]
        total = [
            Total(name="all", count=0, kernels=0, ms=profile.ops_ms, macs=0)
            for profile in (first, second)
        ]
        parts.append(
            tables.table([*rows, _pair(what, "all", names, total)], right=(*names, "ratio"))
        )
    return "\n\n".join(parts)


def _pair(what: str, name: str, names: Sequence[str], totals: Sequence) -> dict:
    times = [total.ms if total else None for total in totals]
    ratio = f"{times[1] / times[0]:.2f}" if times[0] and times[1] is not None else ""
    shown = ["" if ms is None else f"{ms:.3f}" for ms in times]
    return {what: name, **dict(zip(names, shown, strict=True)), "ratio": ratio}


def _layer(total, profile) -> dict:
    own = [operator for operator in profile.operators if operator.layer == total.name]
    return {
        "slowest layers": total.name,
        "operators": ", ".join(dict.fromkeys(operator.name for operator in own)),
        "output": "x".join(map(str, own[-1].output_shape)),
        **_numbers(total, profile),
    }


def _numbers(total, profile) -> dict:
    speed = total.gmacs_per_second
    return {
        "count": total.count,
        "kernels": total.kernels,
        "ms": f"{total.ms:.3f}",
        "share": f"{total.ms / (profile.ops_ms or 1):.1%}",
        "MMACs": f"{total.macs / 1e6:.1f}" if total.macs else "",
        "GMAC/s": f"{speed:.1f}" if speed else "",
    }


def _record(profile) -> dict:
    return {
        **asdict(profile),
        "ops_ms": profile.ops_ms,
        "covered": profile.coverage,
        "without_macs": profile.without_macs,
        "xnnpack_share": profile.delegation.share,
        "by_operator": [asdict(total) for total in profile.by_operator()],
        "by_layer": [asdict(total) for total in profile.by_layer()],
    }
