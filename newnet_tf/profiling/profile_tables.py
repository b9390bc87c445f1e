"""Profiles as text, as JSON values, and as rows of the table `operators`."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from newnet_tf import results
from newnet_tf.profiling.operators import Profile, Total
from newnet_tf.utils import tables

TABLE, KEYS = "operators", ("model", "precision", "threads")
NUMBERS = ("count", "kernels", "ms", "share", "MMACs", "GMAC/s")
QUIET_COVERAGE = (0.85, 1.1)  # of a run on a quiet machine


def rows(profile: Profile) -> list[dict]:
    """Returns a profile as rows of the table `operators`, one for each type of operator."""
    return [
        {
            "model": profile.model,
            "precision": profile.precision,
            "threads": profile.threads,
            "operator": total.name,
            "count": total.count,
            "kernels": total.kernels,
            "ms": round(total.ms, 4),
            "share": round(total.ms / (profile.ops_ms or 1), 4),
            "mmacs": round(total.macs / 1e6, 3),
            "total_ms": round(profile.total_ms, 4),
            "runs": profile.runs,
            "weights": profile.weights,
        }
        for total in profile.by_operator()
    ]


def save(profiles: Iterable[Profile], folder: str | os.PathLike | None = None) -> Path:
    """Merges profiles into the table `operators`; they replace earlier ones of the same files.

    Args:
        profiles: `Profile`s.

        folder: path of the table's folder. Default: the package's own results.

    Returns:
        Path of the CSV file.
    """
    table = [row for profile in profiles for row in rows(profile)]
    return results.record(TABLE, table, KEYS, folder)


def to_dict(profile: Profile) -> dict:
    """Returns a profile, with its sums, as JSON values."""
    return {
        **asdict(profile),
        "ops_ms": profile.ops_ms,
        "coverage": profile.coverage,
        "without_macs": profile.without_macs,
        "xnnpack_share": profile.delegation.share,
        "by_operator": [asdict(total) for total in profile.by_operator()],
        "by_layer": [asdict(total) for total in profile.by_layer()],
    }


def text(profile: Profile, layers: int) -> str:
    """Returns a summary, a table by operator, and a table of the slowest layers.

    Args:
        profile: `Profile`.

        layers: int, the number of layers in the second table; 0 for no table.
    """
    threads = f"{profile.threads} thread{'s' * (profile.threads > 1)}"
    by_operator = [{"operator": t.name, **_numbers(t, profile)} for t in profile.by_operator()]
    parts = [
        (
            f"{profile.title}, {threads}, {profile.runs} runs, weights: {profile.weights}\n"
            f"whole file {profile.total_ms:.2f} ms; its operators add up to {profile.ops_ms:.2f} ms, "
            f"{profile.coverage:.0%} of it\n"
            f"operators without multiply-adds: {profile.without_macs:.1%} of the operators' time\n"
            f"XNNPACK runs {profile.delegation}; {_memory(profile)}"
        ),
        tables.table(by_operator, right=NUMBERS),
    ]
    slowest = [_layer(total, profile) for total in profile.by_layer()[:layers]]
    parts += [tables.table(slowest, right=NUMBERS)] if slowest else []
    return "\n\n".join(parts)


def comparison(first: Profile, second: Profile) -> str:
    """Returns tables of two files by operator and by layer, with the ratio of their times."""
    names = [first.title, second.title]
    if names[0] == names[1]:
        names = [f"{name} ({n})" for name, n in zip(names, ("first", "second"), strict=True)]
    parts = []
    for what in ("operator", "layer"):
        totals = [{t.name: t for t in getattr(p, f"by_{what}")()} for p in (first, second)]
        by_time = sorted(
            dict.fromkeys([*totals[0], *totals[1]]),
            key=lambda name: -max(own[name].ms for own in totals if name in own),
        )
        lines = [_ratio(what, name, names, [own.get(name) for own in totals]) for name in by_time]
        sums = [Total(name="all", count=0, kernels=0, ms=p.ops_ms, macs=0) for p in (first, second)]
        lines.append(_ratio(what, "all", names, sums))
        parts.append(tables.table(lines, right=(*names, "ratio")))
    return "\n\n".join(parts)


def disturbed(profiles: Iterable[Profile]) -> list[str]:
    """Returns the titles of profiles whose operators do not add up to the time of the whole file."""
    low, high = QUIET_COVERAGE
    return [profile.title for profile in profiles if not low <= profile.coverage <= high]


def _memory(profile: Profile) -> str:
    rss = f"; process memory: {profile.rss_bytes / 1e6:.1f} MB" if profile.rss_bytes else ""
    return f"peak activation memory: {profile.peak_activation_bytes / 1e6:.2f} MB{rss}"


def _ratio(what: str, name: str, names: Sequence[str], totals: Sequence[Total | None]) -> dict:
    times = [total.ms if total else None for total in totals]
    ratio = f"{times[1] / times[0]:.2f}" if times[0] and times[1] is not None else ""
    cells = ["" if ms is None else f"{ms:.3f}" for ms in times]
    return {what: name, **dict(zip(names, cells, strict=True)), "ratio": ratio}


def _layer(total: Total, profile: Profile) -> dict:
    operators = [operator for operator in profile.operators if operator.layer == total.name]
    return {
        "slowest layers": total.name,
        "operators": ", ".join(dict.fromkeys(operator.name for operator in operators)),
        "output": "x".join(map(str, operators[-1].output_shape)),
        **_numbers(total, profile),
    }


def _numbers(total: Total, profile: Profile) -> dict:
    speed = total.gmacs_per_second
    return {
        "count": total.count,
        "kernels": total.kernels,
        "ms": f"{total.ms:.3f}",
        "share": f"{total.ms / (profile.ops_ms or 1):.1%}",
        "MMACs": f"{total.macs / 1e6:.1f}" if total.macs else "",
        "GMAC/s": f"{speed:.1f}" if speed else "",
    }
