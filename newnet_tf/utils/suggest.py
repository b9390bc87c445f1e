"""Hints for misspelt words: the known words that are spelled much the same."""

import difflib
from collections.abc import Iterable

SHOWN = 3  # words in a hint


def suggestion(word: object, known: Iterable[str], count: int = SHOWN, cutoff: float = 0.6) -> str:
    """Returns a sentence that names known words much like `word`, to end an error message with.

    Words that begin with `word`, also after a dot, come first; case, `_` and `-` do not matter.

    Args:
        word: what was received; of another type than str nothing is like it.

        known: the known words.

        count: int, how many to name at most. Default: 3.

        cutoff: float in [0, 1], how much alike they must be, as `difflib.get_close_matches` takes it.
            Default: 0.6.

    Returns:
        `". Did you mean 'fp32'?"`, or `""` where no word is like it.

    Example:
        >>> suggestion("fp23", ["fp32", "fp16", "int8-full"])
        ". Did you mean 'fp32'?"
    """
    near = nearest(word, known, count, cutoff)
    if not near:
        return ""
    *others, last = map(repr, near)
    words = f"{', '.join(others)} or {last}" if others else last
    return f". Did you mean {words}?"


def nearest(
    word: object, known: Iterable[str], count: int = SHOWN, cutoff: float = 0.6
) -> list[str]:
    """Returns the known words much like `word`, the nearest first, each once.

    Args:
        word, known, count, cutoff: as in `suggestion`.
    """
    if not isinstance(word, str) or not word:
        return []
    by_key: dict[str, list[str]] = {}
    for name in dict.fromkeys(known):
        by_key.setdefault(_key(name), []).append(name)
    key = _key(word)
    keys = [k for k in by_key if len(key) > 1 and _begins(k, key)]
    keys += difflib.get_close_matches(key, by_key, n=count, cutoff=cutoff)
    return [name for k in dict.fromkeys(keys) for name in by_key[k]][:count]


def _begins(key: str, start: str) -> bool:
    return key.startswith(start) or key.rpartition(".")[2].startswith(start)


def _key(word: str) -> str:
    return word.lower().replace("_", "-").strip()
