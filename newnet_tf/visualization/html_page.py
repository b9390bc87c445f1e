"""Reports of the commands: one self-contained HTML file each, with embedded images."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from newnet_tf.utils.io import write_bytes
from newnet_tf.utils.palette import FAINT, GRID, INK

STYLE = Template("""
body { font: 16px/1.5 system-ui, sans-serif; color: $INK; max-width: 60rem; margin: 2rem auto;
  padding: 0 1.2rem; background: #fff; }
body.wide { max-width: 110rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p { max-width: 60rem; } p.lead, td.note, .small { color: $FAINT; } .small { font-size: .85rem; }
.prediction { display: flex; gap: 1.6rem; align-items: center; flex-wrap: wrap; }
.prediction img.image { width: 17rem; border-radius: .5rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(40rem, 100%), 1fr));
  gap: 0 2.5rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid $INK; padding: .3rem .5rem; }
td { border-bottom: 1px solid $GRID; padding: .3rem .5rem; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.ok { color: #1a7f4b; } .untrained { color: #a15c00; }
img.plot { width: 100%; } code { background: #f3f5f8; padding: .1rem .3rem; border-radius: .2rem; }
""").substitute(INK=INK, FAINT=FAINT, GRID=GRID)
MAX_IMAGE = 560  # pixels, the longer edge of an embedded photograph


def write(path: Path, title: str, sections: Sequence[str], wide: bool = False) -> Path:
    """Writes a page.

    Args:
        path: path of the HTML file.

        title: str, plain text.

        sections: str for each section, as HTML.

        wide: bool, whether the sections may fill a wide screen.

    Returns:
        `path`.
    """
    body, width = "\n".join(sections), ' class="wide"' if wide else ""
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body{width}>\n{body}\n</body></html>\n"
    )
    write_bytes(path, page.encode())
    return path


def prediction(image: Path, bars: bytes, caption: str) -> str:
    """Returns the HTML of an image next to the bar chart (SVG) of its top-5 predictions."""
    data = base64.b64encode(_png(image)).decode()
    chart = plot(bars, "The top-5 predictions and their probabilities")
    return (
        f'<div class="prediction"><img class="image" alt="{html.escape(image.name)}" '
        f'src="data:image/png;base64,{data}"><div style="flex: 1; min-width: 20rem">{chart}</div>'
        f'</div><p class="small">{html.escape(caption)}</p>'
    )


def image(path: Path, caption: str) -> str:
    """Returns an image with a caption, as HTML."""
    data = base64.b64encode(_png(path)).decode()
    return (
        f'<img class="image" alt="{html.escape(path.name)}" src="data:image/png;base64,{data}">'
        f'<p class="small">{html.escape(caption)}</p>'
    )


def plot(svg: bytes, alt: str) -> str:
    """Returns the HTML of an embedded chart; `alt` is its text for screen readers."""
    data = base64.b64encode(svg).decode()
    return f'<img class="plot" alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{data}">'


def table(rows: Sequence[Mapping[str, object]], right: Sequence[str] = ()) -> str:
    """Returns an HTML table; the columns named in `right` are right-aligned."""
    columns = list(rows[0])

    def cell(tag: str, column: str, value: object) -> str:
        css = ' class="n"' if column in right else ""
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
    image.thumbnail((MAX_IMAGE, MAX_IMAGE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
