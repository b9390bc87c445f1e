"""`newnet profile`: what each operator of a network costs on this CPU."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from newnet_tf.cli import benchmark, models, tables
from newnet_tf.deploy import recipes

NUMBERS = ("count", "kernels", "ms", "share", "MMACs", "GMAC/s")
PICTURES = (".png", ".svg")
QUIET = (0.85, 1.1)  # what the parts of an undisturbed run add up to


def arguments_profile(parser):
    parser.add_argument(
        "models", nargs="+", help=f"networks, {benchmark.PEERS}, or .tflite files", metavar="MODEL"
    )
    parser.add_argument(
        "--precision", default="fp32", help=f"among {','.join(recipes.PRECISIONS)}; default: fp32"
    )
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument("--rounds", type=int, default=50, help="timed runs of each; default: 50")
    parser.add_argument("--layers", type=int, default=10, help="slowest layers shown; default: 10")
    parser.add_argument("-o", "--output-dir", type=Path, default=Path("build/benchmark"))
    parser.add_argument("--fresh", action="store_true", help="make the files anew")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw shares: .png or .svg")
    parser.add_argument(
        "--record", action="store_true", help="write the table newnet_tf/results/operators.csv"
    )
    parser.add_argument("--json", action="store_true", help="every operator and layer, as JSON")
    parser.epilog = (
        "Networks are built with random weights: their files are for timing only. Times are those\n"
        "of XNNPACK's kernels within the running file, by LiteRT's profiler: the mean of the middle\n"
        "half of all rounds. An operator that runs as part of a neighbour has no kernel and 0 ms."
    )


def run_profile(arguments):
    from newnet_tf.profiling import operators

    _check(arguments)
    precisions = arguments.precision.split(",")
    recipes.check_options(precisions, "float32", False, "logits")
    given = [name for name in arguments.models if name.endswith(".tflite")]
    names = list(dict.fromkeys(name for name in arguments.models if name not in given))
    with models.no_warnings():
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
    odd = [_title(profile) for profile in found if not QUIET[0] <= profile.covered <= QUIET[1]]
    if odd:
        models.note(f"parts and whole disagree (busy machine, tiny file): {', '.join(odd)}")
    if arguments.record:
        models.note(f"wrote {operators.record(found)}")
    if arguments.plot:
        _draw(arguments.plot, found, arguments.record)
    if arguments.json:
        print(tables.to_json([_record(profile) for profile in found]))
    else:
        print("\n\n".join(_text(profile, arguments.layers) for profile in found))


def _check(arguments) -> None:
    """Refuses before anything is measured what would fail after it."""
    if arguments.layers < 0:
        raise ValueError(f"--layers must not be negative. Received: {arguments.layers}")
    if arguments.threads < 1 or arguments.rounds < 1:
        raise ValueError(
            "--threads and --rounds must be positive. "
            f"Received: {arguments.threads} and {arguments.rounds}"
        )
    if arguments.plot and arguments.plot.suffix not in PICTURES:
        raise ValueError(f"--plot must end in one of {PICTURES}. Received: {arguments.plot}")


def _draw(path: Path, found: Sequence, recorded: bool) -> None:
    """Draws what was measured; if it was recorded, from the table."""
    from newnet_tf import results
    from newnet_tf.cli import plots, shares
    from newnet_tf.profiling import operators
    from newnet_tf.weights.checkpoint import beside

    rows = [row for profile in found for row in operators.rows(profile)]
    if recorded:
        own = {tuple(f"{row[key]}" for key in operators.KEYS) for row in rows}
        table = results.read(operators.TABLE)
        rows = [row for row in table if tuple(row[key] for key in operators.KEYS) in own]
    drawn = shares.shares(rows, list(dict.fromkeys(profile.model for profile in found)))
    with beside(path) as temporary:
        temporary.write_bytes((plots.png if path.suffix == ".png" else plots.svg)(drawn))
    models.note(f"wrote {path}")


def _title(profile) -> str:
    return f"{profile.model} {profile.precision}".rstrip()


def _text(profile, layers: int) -> str:
    threads = f"{profile.threads} thread{'s' * (profile.threads > 1)}"
    by_operator = [{"operator": t.name, **_numbers(t, profile)} for t in profile.by_operator()]
    text = (
        f"{_title(profile)}, {threads}, {profile.rounds} rounds, weights: {profile.weights}\n"
        f"whole file {profile.whole_ms:.2f} ms; its operators add up to {profile.parts_ms:.2f} ms, "
        f"{profile.covered:.0%} of it\n"
        f"operators without multiply-adds: {profile.without_macs:.1%} of the operators' time\n\n"
        f"{tables.table(by_operator, right=NUMBERS)}"
    )
    slowest = [_layer(total, profile) for total in profile.by_layer()[:layers]]
    return f"{text}\n\n{tables.table(slowest, right=NUMBERS)}" if slowest else text


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
        "share": f"{total.ms / (profile.parts_ms or 1):.1%}",
        "MMACs": f"{total.macs / 1e6:.1f}" if total.macs else "",
        "GMAC/s": f"{speed:.1f}" if speed else "",
    }


def _record(profile) -> dict:
    return {
        **asdict(profile),
        "parts_ms": profile.parts_ms,
        "covered": profile.covered,
        "without_macs": profile.without_macs,
        "by_operator": [asdict(total) for total in profile.by_operator()],
        "by_layer": [asdict(total) for total in profile.by_layer()],
    }
