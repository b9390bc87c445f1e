"""The networks of the talk's tables: what they claim, what they cost here, which beats which.

Costs are read from the result tables, accuracies from the cards' claims; nothing is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newnet_tf import results
from newnet_tf.models import registry
from newnet_tf.models.config import Card
from newnet_tf.profiling import paper_tables, pareto

GROUPS = {"new": "new", "light": "light", "nas": "NAS", "heavy": "heavy"}


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One kind of cost.

    Args:
        title: str. noun: str, as in "needs no more ...". unit: str, "" for a time, which is relative.
        precision: str, of the files timed, "" where nothing is timed.
    """

    title: str
    noun: str
    unit: str = ""
    precision: str = ""


AXES = {
    "macs": Axis(title="Multiply-adds", noun="multiply-adds", unit="1e9 for one image"),
    "params": Axis(title="Parameters", noun="parameters", unit="1e6"),
    "fp32": Axis(title="Time in fp32", noun="time in fp32", precision="fp32"),
    "int8": Axis(title="Time in int8", noun="time in int8", precision="int8-full"),
}


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of the talk's tables.

    Args:
        name: str. group: str, a key of `GROUPS`.
        accuracy: float, claimed, percent.
        costs: {key of `AXES`: number}, those that were measured; times relative to the baseline.
        times: {precision: row of the table `latency`}.
        twin: str, the network that stands for both in charts, where the talk has one row for two
            that differ in padding only; "" where it is this one.
    """

    name: str
    group: str
    accuracy: float
    costs: Mapping[str, float]
    times: Mapping[str, Mapping[str, str]]
    twin: str


def networks(threads: int, baseline: str) -> list[Network]:
    """Returns all networks of the talk's tables, group by group, in order of their accuracy.

    Args:
        threads, baseline: those of the latencies wanted; rows of other ones do not count.

    Raises:
        ValueError: where latencies were measured, but none of this kind.
    """
    cards = [registry.card(name) for name in registry.list_models()]
    rows, found = _latencies(threads, baseline), []
    for group in GROUPS:
        members = paper_tables.members(cards, group)
        shortest = sorted(members, key=lambda card: len(card.name), reverse=True)
        drawn = {_printed(card): card.name for card in shortest}
        for card in members:
            times = rows.get(card.name, {})
            twin = drawn[_printed(card)]
            found.append(
                Network(
                    name=card.name,
                    group=group,
                    accuracy=100 - card.reported.top1_error,
                    costs=_costs(card, times),
                    times=times,
                    twin="" if twin == card.name else twin,
                )
            )
    return found


def baseline_times(threads: int, baseline: str) -> dict[str, float]:
    """Returns {precision: milliseconds} of the baseline itself."""
    rows = _latencies(threads, baseline).get(baseline, {})
    return {precision: float(row["median_ms"]) for precision, row in rows.items()}


def front(shown: Sequence[Network], key: str) -> list[Network]:
    """Returns the networks that none beats on cost `key` and accuracy, the cheapest first."""
    return [shown[i] for i in pareto.front([_pair(network, key) for network in shown])]


def beaten_by(network: Network, shown: Sequence[Network], key: str) -> list[Network]:
    """Returns those that cost as much of `key` or more and claim no more, and are not its equal."""
    return [n for n in shown if pareto.dominates(_pair(network, key), _pair(n, key))]


def beating(network: Network, shown: Sequence[Network], key: str) -> list[Network]:
    """Returns those that beat `network` on cost `key` and accuracy."""
    return [n for n in shown if pareto.dominates(_pair(n, key), _pair(network, key))]


def _pair(network: Network, key: str) -> pareto.Pair:
    return network.costs[key], network.accuracy


def _latencies(threads: int, baseline: str) -> dict[str, dict[str, dict[str, str]]]:
    """Returns {model: {precision: row}}."""
    table, found = results.read("latency"), {}
    for row in table:
        if (row["threads"], row["baseline"]) == (f"{threads}", baseline) and row["ratio"]:
            found.setdefault(row["model"], {})[row["precision"]] = row
    if table and not found:
        known = sorted({f"{row['threads']} and {row['baseline'] or 'none'}" for row in table})
        raise ValueError(
            f"--threads and --baseline must be those of rows in latency.csv ({'; '.join(known)}). "
            f"Received: {threads} and {baseline}"
        )
    return found


def _printed(card: Card) -> tuple:
    """What the talk prints of a network: equal for twins."""
    claim = card.reported
    return claim.source, claim.top1_error, claim.params, claim.macs


def _costs(card: Card, times: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    cost = paper_tables.cost(card)
    counted = {"macs": int(cost["macs"]) / 1e9, "params": int(cost["params"]) / 1e6} if cost else {}
    return counted | {
        key: float(times[axis.precision]["ratio"])
        for key, axis in AXES.items()
        if axis.precision in times
    }
