"""The report of reported accuracy against cost: which model beats which, what is drawn, left out."""

import base64
import html
import re
from xml.etree import ElementTree

import numpy as np
import pytest

import newnet_tf
from newnet_tf import results
from newnet_tf.api import report
from newnet_tf.cli import main
from newnet_tf.profiling import comparison, paper_tables, pareto
from newnet_tf.profiling.comparison import COST_AXES, ComparedModel
from newnet_tf.visualization import charts, label_placement

BASELINE = "keras:EfficientNetB0"
UNTIMED = ("pelee", "vgg19_bn")
UNCOUNTED = "darts"


def members():
    cards = [newnet_tf.model_card(name) for name in newnet_tf.list_models()]
    return [card for table in paper_tables.TABLES for card in paper_tables.members(cards, table)]


def fill(folder):
    """Writes tables of costs: random times that depend on multiply-adds."""
    random, cost, latency = np.random.default_rng(0), [], []
    for number, card in enumerate(members()):
        macs = 300_000_000 + 50_000_000 * number
        counted = paper_tables.cost(card) or {"params": 4_000_000 + number, "macs": macs}
        if card.name != UNCOUNTED:
            cost.append({"model": card.name, **{k: counted[k] for k in ("params", "macs")}})
        latency += times(card.name, int(counted["macs"]) / 4e8 * random.uniform(0.7, 1.5))
    latency = [row for row in latency if row["model"] not in UNTIMED] + times(BASELINE, 1.0)
    results.record("cost", cost, folder=folder)
    results.record("latency", latency, ("model", "precision", "threads"), folder)


def times(model, ratio):
    row = {"model": model, "threads": 1, "baseline": BASELINE, "ratio": ratio, "fallback_ops": 0}
    return [row | {"precision": p, "median_ms": 12.5 * ratio} for p in ("fp32", "int8-full")]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that `newnet report` wrote, the page's text, and its notes."""
    folder, notes = tmp_path_factory.mktemp("report"), []
    fill(folder / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "HERE", folder / "results")
        patch.setattr(report, "note", notes.append)
        assert main(["report", "-o", str(folder / "out")]) == 0
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    return folder / "out", page, notes


# The front.


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 70)], [0]),
        ([(2, 69), (1, 70), (3, 75)], [1, 2]),
        ([(1, 70), (1, 71), (2, 71), (2, 70)], [1]),
        ([(2, 70), (1, 70), (2, 70)], [1]),
        ([(1, 70), (1, 70), (3, 69)], [0, 1]),
        ([(4, 74), (3, 73), (2, 72), (1, 71)], [3, 2, 1, 0]),
    ],
)
def test_front_by_hand(points, expected):
    assert pareto.front(points) == expected


def test_equal_points_do_not_dominate():
    assert pareto.dominates((1, 70), (2, 70))
    assert pareto.dominates((1, 70), (1, 69))
    assert not pareto.dominates((1, 70), (1, 70))
    assert not pareto.dominates((1, 70), (0.5, 60))
    assert not pareto.dominates((1, 70), (2, 71))


# Captions.


def model(name, group, accuracy, macs):
    return ComparedModel(
        name=name, group=group, accuracy=accuracy, costs={"macs": macs}, times={}, twin=""
    )


SMALL = model("small", "new", 77.0, 0.4)
SHOWN = [
    SMALL,
    model("a", "light", 72.0, 0.3),
    model("b", "light", 72.0, 0.4),
    model("c", "nas", 76.0, 0.5),
    model("d", "heavy", 78.0, 8.0),
    model("e", "heavy", 75.0, 9.0),
]


def test_captions_are_counted():
    assert report._caption(SMALL, SHOWN, "macs") == (
        "small needs no more multiply-adds and is at least as accurate as 1 of 2 light models, "
        "1 of 1 NAS models and 1 of 2 heavy models; none beats it."
    )
    better = model("f", "light", 77.0, 0.3)
    caption = report._caption(SMALL, [*SHOWN, better], "macs")
    assert "as 1 of 3 light models" in caption
    assert caption.endswith("1 of 2 heavy models; f beats it.")
    assert report._standing(SMALL, SHOWN, "macs") == "3 of 5; beaten by none"
    assert report._standing(SMALL, [*SHOWN, better], "macs") == "3 of 6; beaten by f"
    assert report._standing(SMALL, SHOWN, "params") == "not measured"
    assert [n.name for n in comparison.front(SHOWN, "macs")] == ["a", "small", "d"]


def test_the_cost_of_an_accuracy_is_computed():
    assert report._price(SMALL, SHOWN, "macs") == (
        "For the accuracy of small: no light model reaches it, no NAS model reaches it and the "
        "cheapest heavy model, d, needs 20.0 times as much."
    )


def test_twins_are_drawn_once(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "HERE", tmp_path)
    models = {n.name: n for n in comparison.compared_models(1, BASELINE)}
    assert models["mobilenet_v1_100"].twin == ""
    assert models["tf_mobilenet_v1_100"].twin == "mobilenet_v1_100"
    assert models["newnet_small"].accuracy == pytest.approx(77.04)
    assert list(models) == [card.name for card in members_in_order()]
    assert models["newnet_small"].costs == {}


def members_in_order():
    cards = [newnet_tf.model_card(name) for name in newnet_tf.list_models()]
    return [card for group in comparison.GROUPS for card in paper_tables.members(cards, group)]


# The page.


def test_page_lists_every_model(written):
    _, page, _ = written
    for card in members():
        assert f"<td>{card.name}</td>" in page
        assert f">{100 - card.reported.top1_error:.2f}<" in page


def test_page_says_what_is_reported(written):
    _, page, _ = written
    assert "Every accuracy here is reported" in page
    assert "newnet_small and newnet_large were not trained here" in page


def test_page_loads_nothing(written):
    folder, page, _ = written
    drawings = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert len(drawings) == len(COST_AXES)
    texts = [page, *(base64.b64decode(data).decode() for data in drawings)]
    for text in texts:
        for address in re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)', text):
            assert "".join(address).startswith(("data:", "#"))
        assert "<script" not in text
        assert "@import" not in text
    assert {f.read_text() for f in folder.glob("accuracy_*.svg")} == set(texts[1:])


def test_images_are_complete_and_small(written):
    folder, _, _ = written
    stems = {"overview", *(f"accuracy_{key}" for key in COST_AXES)}
    assert {f.stem for f in folder.glob("*.png")} == stems
    assert {f.stem for f in folder.glob("*.svg")} == stems
    for stem in stems:
        image = folder / f"{stem}.png"
        assert image.read_bytes()[:4] == b"\x89PNG"
        assert image.stat().st_size < 200_000
        assert ElementTree.parse(folder / f"{stem}.svg").getroot().tag.endswith("svg")
    assert not [f for f in folder.iterdir() if f.name.startswith(".")]


def test_missing_measurements_are_named(written):
    _, page, notes = written
    words = html.unescape(page)
    assert words.count("Not measured, so not drawn: pelee and vgg19_bn.") == 2
    assert words.count(f"Not measured, so not drawn: {UNCOUNTED}.") == 2
    assert "Time in fp32: not measured, left out: pelee, vgg19_bn" in notes
    assert f"Parameters: not measured, left out: {UNCOUNTED}" in notes
    row = re.search(r"<tr><td>pelee</td>.*?</tr>", page).group()
    assert row.count(">-<") == 4
    assert ">- / -<" in row


def test_front_in_the_page_is_that_of_the_tables(written):
    folder, page, _ = written
    rows = re.findall(r"<tr><td>(\w+)</td>.*?<td>([^<]*)</td></tr>", page)
    listed = {name for name, fronts in rows if "Multiply-adds" in fronts}
    macs = {
        row["model"]: int(row["macs"]) for row in results.read("cost", folder.parent / "results")
    }
    top1 = {card.name: 100 - card.reported.top1_error for card in members()}
    best = {
        name
        for name in macs
        if not any(
            (macs[n] < macs[name] and top1[n] >= top1[name])
            or (macs[n] <= macs[name] and top1[n] > top1[name])
            for n in macs
        )
    }
    assert "newnet_small" in listed
    assert listed == {name for name in best if not name.startswith("tf_")}


def test_the_same_tables_give_the_same_drawing():
    first, second = (
        charts.svg(charts.top_predictions([("tabby", 0.7), ("tiger_cat", 0.2)])) for _ in "ab"
    )
    assert first == second
    assert b"<dc:date>" not in first


def test_tables_without_such_rows_are_errors(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "HERE", tmp_path / "none")
    assert main(["report", "-o", str(tmp_path / "out")]) == 1
    assert "Received: none in cost.csv or latency.csv" in capsys.readouterr().err
    fill(tmp_path / "some")
    monkeypatch.setattr(results, "HERE", tmp_path / "some")
    assert main(["report", "--threads", "7", "-o", str(tmp_path / "out")]) == 1
    assert f"(1 and {BASELINE}). Received: 7 and {BASELINE}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# Names next to points.


def boxes_overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_names_keep_clear_of_each_other_and_of_points():
    random = np.random.default_rng(3)
    points = np.concatenate(
        [random.normal((150, 200), 40, (20, 2)), random.uniform(20, 480, (8, 2))]
    )
    extents = np.stack([random.uniform(40, 90, 28), np.full(28, 9.0)], axis=1)
    frame = np.array([0.0, 0, 500, 500])
    boxes = label_placement.place(points, extents, frame)
    for i, box in enumerate(boxes):
        assert np.all(box[:2] >= frame[:2])
        assert np.all(box[2:] <= frame[2:])
        assert not any(boxes_overlap(box, other) for other in boxes[i + 1 :])
        assert not any(np.all((p > box[:2]) & (p < box[2:])) for p in points)


def test_names_in_a_drawing_do_not_touch():
    spots = [charts.Point(f"network_number_{i}", "light", 1 + i / 40, 70 + i % 3, False)
             for i in range(9)]  # fmt: skip
    points = [*spots, charts.Point("best", "new", 1.1, 75.0, True)]
    figure = charts.figure(6, 5)
    axes = figure.subplots()
    charts.accuracy_vs_cost(axes, points)
    charts.name_points(axes, points, 9)
    assert [text.get_text() for text in axes.texts] == [p.name for p in points]
    boxes = [text.get_window_extent().extents for text in axes.texts]
    frame = axes.get_window_extent().extents
    for i, box in enumerate(boxes):
        assert not any(boxes_overlap(box, other) for other in boxes[i + 1 :])
        assert frame[0] <= box[0]
        assert box[2] <= frame[2]
