"""The demo's page: one self-contained HTML file, plots inside, nothing loaded from elsewhere."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from newnet_tf.weights.checkpoint import beside

COLOURS = {"fp32": "#4269d0", "fp16": "#97bbf5", "int8-dynamic": "#f2a93b", "int8-full": "#d1495b"}
INK, FAINT, GRID = "#1c2733", "#5b6b7b", "#e3e8ee"

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 60rem; margin: 2rem auto;
  padding: 0 1.2rem; background: #fff; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p.lead, td.note, .small { color: #5b6b7b; } .small { font-size: .85rem; }
.answer { display: flex; gap: 1.6rem; align-items: center; flex-wrap: wrap; }
.answer img.picture { width: 17rem; border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid #1c2733; padding: .3rem .5rem; }
td { border-bottom: 1px solid #e3e8ee; padding: .3rem .5rem; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.ok { color: #1a7f4b; } .untrained { color: #a15c00; }
img.plot { width: 100%; } code { background: #f3f5f8; padding: .1rem .3rem; border-radius: .2rem; }
"""


def write(path: Path, title: str, sections: Sequence[str]) -> Path:
    """Writes the page; `sections` are HTML."""
    body = "\n".join(sections)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )
    with beside(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def answer(picture: Path, top: Sequence[tuple[str, float]], caption: str) -> str:
    """A picture and the bars of its best classes."""
    image = base64.b64encode(_png(picture)).decode()
    bars = _embedded(_bars(top), "The five best classes and their probabilities")
    return (
        f'<div class="answer"><img class="picture" alt="{html.escape(picture.name)}" '
        f'src="data:image/png;base64,{image}"><div style="flex: 1; min-width: 20rem">{bars}</div>'
        f'</div><p class="small">{html.escape(caption)}</p>'
    )


def table(rows: Sequence[Mapping[str, object]], numbers: Sequence[str] = ()) -> str:
    """An HTML table; columns in `numbers` are right-aligned."""
    columns = list(rows[0])

    def cell(tag: str, column: str, value: object) -> str:
        css = ' class="n"' if column in numbers else ""
        text = html.escape("" if value is None else f"{value}")
        if text.startswith("verified"):
            text = f'<span class="ok">{text}</span>'
        elif text.startswith("timing only"):
            text = f'<span class="untrained">{text}</span>'
        return f"<{tag}{css}>{text}</{tag}>"

    head = "".join(cell("th", c, c) for c in columns)
    body = "".join(f"<tr>{''.join(cell('td', c, r[c]) for c in columns)}</tr>" for r in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def size_and_latency(rows: Sequence[Mapping[str, object]]) -> str:
    """File size against latency, a marker a file, its model's name beside.

    Args:
        rows: mappings with `model`, `precision`, `megabytes`, `milliseconds`.
    """
    figure = _figure(9, 4.6)
    axes = figure.subplots()
    for precision, colour in COLOURS.items():
        points = [r for r in rows if r["precision"] == precision]
        if points:
            x = [r["milliseconds"] for r in points]
            y = [r["megabytes"] for r in points]
            axes.scatter(x, y, s=70, color=colour, label=precision, zorder=3)
    axes.set_xlim(0, 1.22 * max(r["milliseconds"] for r in rows))
    axes.set_ylim(0, 1.18 * max(r["megabytes"] for r in rows))
    axes.set_xlabel("median latency of one picture on this CPU, one thread (ms)")
    axes.set_ylabel("file size (MB)")
    axes.legend(frameon=False, loc="lower right")
    _plain(axes)
    _label(figure, axes, rows)
    return _embedded(figure, "File size against latency of every file")


def _label(figure, axes, rows) -> None:
    """Names each point at the first of a few places beside it that is still free."""
    figure.canvas.draw()
    taken = []
    for row in sorted(rows, key=lambda r: r["milliseconds"]):
        x, y = axes.transData.transform((row["milliseconds"], row["megabytes"]))
        taken.append((x - 7, y - 7, x + 7, y + 7))
    for row in sorted(rows, key=lambda r: -r["megabytes"]):
        point = (row["milliseconds"], row["megabytes"])
        for offset, align in (((9, -4), "left"), ((-9, -4), "right"), ((0, 10), "center"),
                              ((0, -18), "center"), ((9, 8), "left"), ((9, -16), "left"),
                              ((-9, 8), "right"), ((-9, -16), "right")):  # fmt: skip
            text = axes.annotate(
                row["model"], point, offset, textcoords="offset points", ha=align, fontsize=9
            )
            box = text.get_window_extent()
            if not any(_overlap((box.x0, box.y0, box.x1, box.y1), other) for other in taken):
                break
            text.remove()
        else:
            axes.annotate(row["model"], point, (9, -4), textcoords="offset points", fontsize=9)
        taken.append((box.x0, box.y0, box.x1, box.y1))


def _overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _bars(top: Sequence[tuple[str, float]]):
    figure = _figure(5.2, 2.4)
    axes = figure.subplots()
    names = [name.replace("_", " ") for name, _ in top][::-1]
    values = [100 * value for _, value in top][::-1]
    axes.barh(names, values, color=COLOURS["fp32"], height=0.62)
    for i, value in enumerate(values):
        axes.text(value + 1, i, f"{value:.1f} %", va="center", color=INK, fontsize=9)
    axes.set_xlim(0, max(values) * 1.22)
    axes.set_xticks([])
    _plain(axes)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return figure


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes) -> None:
    axes.grid(color=GRID, zorder=0)
    axes.tick_params(colors=FAINT, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for label in axes.get_yticklabels() + axes.get_xticklabels():
        label.set_color(INK)


def _embedded(figure, alt: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="plot" alt="{alt}" src="data:image/svg+xml;base64,{data}">'


def _png(picture: Path) -> bytes:
    from PIL import Image

    from newnet_tf.data.images import read_image

    image = Image.fromarray(read_image(picture))
    image.thumbnail((560, 560))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
