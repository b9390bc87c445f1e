"""Progress bars and notes on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
NOTEBOOK_SHELLS = ("ZMQInteractiveShell", "Shell")  # Jupyter, Colab
REFRESH = 0.5  # seconds between two updates in a notebook


def progress_bar(
    items: Iterable[Item], description: str, total: int | None = None
) -> Iterator[Item]:
    """Iterates over `items` and shows a progress bar with the remaining time.

    In a terminal and in a log the bar is written to stderr; in a notebook it is one line below the
    cell, which is removed at the end.

    Args:
        items: iterable.

        description: str, what is being done, e.g. `"Evaluating"`.

        total: int, the number of items. Default: `len(items)`; None where items have no length.

    Yields:
        The items, in order.

    Example:
        ```python
        for image in progress_bar(images, "Reading"):
            ...
        ```
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    if _is_notebook():
        yield from _in_notebook(items, description, total)
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description, total=total, console=Console(file=sys.stderr))


def note(text: str) -> None:
    """Prints a line on stderr, after `newnet: `."""
    print(f"newnet: {text}", file=sys.stderr, flush=True)


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ in NOTEBOOK_SHELLS


def _in_notebook(items: Iterable, description: str, total: int | None) -> Iterator:
    from IPython.display import display

    def text(done: int, seconds: float) -> dict[str, str]:
        count = f"{done}" if total is None else f"{done} of {total}"
        if total is None or not done:
            return {"text/plain": f"{description}: {count}"}
        left = seconds / done * (total - done)
        return {"text/plain": f"{description}: {count}, {left:.0f} s left"}

    begin = last = time.monotonic()
    line = display(text(0, 0.0), raw=True, display_id=True)
    try:
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - last >= REFRESH:
                last = now
                line.update(text(done, now - begin), raw=True)
    finally:
        line.update({"text/plain": ""}, raw=True)
