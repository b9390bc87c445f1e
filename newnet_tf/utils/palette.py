"""The colors of every chart and page. Standard library only."""

INK, FAINT, GRID = "#1c2733", "#5b6b7b", "#e3e8ee"  # text, axes and notes, grid lines
BLUE, LIGHT_BLUE, ORANGE, RED = "#4269d0", "#97bbf5", "#f2a93b", "#d1495b"
WARNING = "#f6d9a8"
PRECISIONS = {"fp32": BLUE, "fp16": LIGHT_BLUE, "int8-dynamic": ORANGE, "int8-full": RED}
TRAIN, TEST = BLUE, RED  # curves of a training run


def text_on(background: str) -> str:
    """Returns the color of text that is readable on `background`, a color such as `"#4269d0"`."""
    red, green, blue = (int(background[i : i + 2], 16) for i in (1, 3, 5))
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 140 else INK
