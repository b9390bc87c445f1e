"""Pages of the commands: one self-contained HTML file each, images inside, nothing loaded."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from newnet_tf.weights.reader import beside

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 60rem; margin: 2rem auto;
  padding: 0 1.2rem; background: #fff; }
body.wide { max-width: 110rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p { max-width: 60rem; } p.lead, td.note, .small { color: #5b6b7b; } .small { font-size: .85rem; }
.answer { display: flex; gap: 1.6rem; align-items: center; flex-wrap: wrap; }
.answer img.image { width: 17rem; border-radius: .5rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(40rem, 100%), 1fr));
  gap: 0 2.5rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid #1c2733; padding: .3rem .5rem; }
td { border-bottom: 1px solid #e3e8ee; padding: .3rem .5rem; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.ok { color: #1a7f4b; } .untrained { color: #a15c00; }
img.plot { width: 100%; } code { background: #f3f5f8; padding: .1rem .3rem; border-radius: .2rem; }
"""


def write(path: Path, title: str, sections: Sequence[str], wide: bool = False) -> Path:
    """Writes the page; `sections` are HTML, `wide` lets them fill a wide screen."""
    body, width = "\n".join(sections), ' class="wide"' if wide else ""
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body{width}>\n{body}\n</body></html>\n"
    )
    return save(path, page.encode())


def save(path: Path, data: bytes) -> Path:
    """Writes a file all at once; its folder is made if need be."""
    with beside(path) as temporary:
        temporary.write_bytes(data)
    return path


def answer(path: Path, bars: bytes, caption: str) -> str:
    """An image and the drawn bars of its best classes."""
    image = base64.b64encode(_png(path)).decode()
    drawn = plot(bars, "The five best classes and their probabilities")
    return (
        f'<div class="answer"><img class="image" alt="{html.escape(path.name)}" '
        f'src="data:image/png;base64,{image}"><div style="flex: 1; min-width: 20rem">{drawn}</div>'
        f'</div><p class="small">{html.escape(caption)}</p>'
    )


def plot(svg: bytes, alt: str) -> str:
    """A drawing, embedded."""
    data = base64.b64encode(svg).decode()
    return f'<img class="plot" alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{data}">'


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


def _png(path: Path) -> bytes:
    from PIL import Image

    from newnet_tf.data.images import read_image

    image = Image.fromarray(read_image(path))
    image.thumbnail((560, 560))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
