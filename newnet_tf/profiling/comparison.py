"""The models of the talk's tables: reported accuracy, cost here, and which dominates which.

Costs are read from the tables of results, accuracies from the cards; nothing is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from newnet_tf import results
from newnet_tf.models import registry
from newnet_tf.models.config import Card
from newnet_tf.profiling import paper_tables, pareto

DEFAULT_BASELINE = "keras:EfficientNetB0"
GROUPS = {"new": "new", "light": "light", "nas": "NAS", "heavy": "heavy"}


@dataclass(frozen=True, kw_only=True)
class CostAxis:
    """One kind of cost.

    Args:
        title: str, title of the chart.

        noun: str, as in "needs no more ...".

        unit: str, "" for a time, which is relative to the baseline.

        precision: str, precision of the timed files, "" where nothing is timed.
    """

    title: str
    noun: str
    unit: str = ""
    precision: str = ""


COST_AXES = {
    "macs": CostAxis(title="Multiply-adds", noun="multiply-adds", unit="1e9 for one image"),
    "params": CostAxis(title="Parameters", noun="parameters", unit="1e6"),
    "fp32": CostAxis(title="Time in fp32", noun="time in fp32", precision="fp32"),
    "int8": CostAxis(title="Time in int8", noun="time in int8", precision="int8-full"),
}


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """One model of the talk's tables.

    Args:
        name: str.

        group: str, a key of `GROUPS`.

        accuracy: float, reported top-1 accuracy, percent.

        costs: {key of `COST_AXES`: number}, those that were measured; times relative to the baseline.

        times: {precision: row of the table `latency`}.

        twin: str, the model that stands for both in charts, where the talk has one row for two that
            differ in padding only; "" where it is this one.
    """

    name: str
    group: str
    accuracy: float
    costs: Mapping[str, float]
    times: Mapping[str, Mapping[str, str]]
    twin: str


def compared_models(threads: int, baseline: str) -> list[ComparedModel]:
    """Returns all models of the talk's tables, group by group, in order of their accuracy.

    Args:
        threads: int, number of threads of the latencies.

        baseline: str, baseline of the latencies.

    Raises:
        ValueError: if there are latencies, but none with these threads and this baseline.
    """
    cards = [registry.model_card(name) for name in registry.list_models()]
    rows, models = _latencies(threads, baseline), []
    for group in GROUPS:
        members = paper_tables.members(cards, group)
        by_length = sorted(members, key=lambda card: len(card.name), reverse=True)
        shown = {_reported_figures(card): card.name for card in by_length}  # the shortest name
        for card in members:
            times = rows.get(card.name, {})
            twin = shown[_reported_figures(card)]
            models.append(
                ComparedModel(
                    name=card.name,
                    group=group,
                    accuracy=100 - card.reported.top1_error,
                    costs=_costs(card, times),
                    times=times,
                    twin="" if twin == card.name else twin,
                )
            )
    return models


def baseline_times(threads: int, baseline: str) -> dict[str, float]:
    """Returns {precision: milliseconds} of the baseline itself."""
    rows = _latencies(threads, baseline).get(baseline, {})
    return {precision: float(row["median_ms"]) for precision, row in rows.items()}


def front(models: Sequence[ComparedModel], key: str) -> list[ComparedModel]:
    """Returns the models on the Pareto front of cost `key` and accuracy, cheapest first."""
    return [models[i] for i in pareto.front([_pair(model, key) for model in models])]


def dominated_by(
    model: ComparedModel, models: Sequence[ComparedModel], key: str
) -> list[ComparedModel]:
    """Returns the models that `model` dominates on cost `key` and accuracy."""
    return [m for m in models if pareto.dominates(_pair(model, key), _pair(m, key))]


def dominating(
    model: ComparedModel, models: Sequence[ComparedModel], key: str
) -> list[ComparedModel]:
    """Returns the models that dominate `model` on cost `key` and accuracy."""
    return [m for m in models if pareto.dominates(_pair(m, key), _pair(model, key))]


def _pair(model: ComparedModel, key: str) -> pareto.Pair:
    return model.costs[key], model.accuracy


def _latencies(threads: int, baseline: str) -> dict[str, dict[str, dict[str, str]]]:
    """Returns {model: {precision: row}}."""
    table, rows = results.read("latency"), {}
    for row in table:
        if (row["threads"], row["baseline"]) == (f"{threads}", baseline) and row["ratio"]:
            rows.setdefault(row["model"], {})[row["precision"]] = row
    if table and not rows:
        known = sorted({f"{row['threads']} and {row['baseline'] or 'none'}" for row in table})
        raise ValueError(
            f"--threads and --baseline must be those of rows in latency.csv ({'; '.join(known)}). "
            f"Received: {threads} and {baseline}"
        )
    return rows


def _reported_figures(card: Card) -> tuple:
    """Returns the figures that the talk prints; they are equal for twins."""
    reported = card.reported
    return reported.source, reported.top1_error, reported.params, reported.macs


def _costs(card: Card, times: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    cost = paper_tables.cost(card)
    counted = {"macs": int(cost["macs"]) / 1e9, "params": int(cost["params"]) / 1e6} if cost else {}
    return counted | {
        key: float(times[axis.precision]["ratio"])
        for key, axis in COST_AXES.items()
        if axis.precision in times
    }
