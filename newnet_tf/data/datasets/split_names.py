"""Names of folders and columns that hold the images of a split: `train`, `Testing`, `seg_val`, ..."""

import re
from collections.abc import Sequence

from newnet_tf.data.datasets.base import TEST, TRAIN, VALIDATION

WORDS = {
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("validation", "validate", "valid", "val", "dev", "eval", "evaluation", "holdout"),
    TEST: ("test", "testing", "tst"),
}
KINDS = {word: split for split, words in WORDS.items() for word in words}
# What stands next to such a word: train_images, TestSet, train2017.
COMPANIONS = ("images", "image", "imgs", "img", "data", "dataset", "set", "folder", "split", "part")
# Where a folder named `test` is missing, these are the test split if there is a validation split too.
ALSO_TEST = ("eval", "evaluation", "holdout")


def split_of(name: str) -> str | None:
    """Returns the split that a name stands for.

    Args:
        name: str, of a folder, or a value of a column. Case, digits and separators do not matter, nor
            does a word of `COMPANIONS`.

    Returns:
        `"train"`, `"validation"`, `"test"`, or None.

    Example:
        >>> split_of("Training"), split_of("val2017"), split_of("TestSet"), split_of("tulips")
        ('train', 'validation', 'test', None)
    """
    word = _word(name)
    return KINDS.get(word) if word else None


def name_splits(names: Sequence[str]) -> dict[str, str]:
    """Returns the split of each of a set of names that belong together.

    A word that all names share is left out (`seg_train`, `seg_test`). Among names of which two are
    validation splits, `eval` or `holdout` is the test split, if no name says test.

    Args:
        names: str, of folders, or values of a column.

    Returns:
        {name: split} of those that stand for a split; two names may stand for the same one.
    """
    common = set.intersection(*(set(_tokens(name)) for name in names)) if len(names) > 1 else set()
    common -= set(KINDS)
    words = {name: _word(name, common) for name in names}
    found = {name: KINDS[word] for name, word in words.items() if word in KINDS}
    validation = [name for name, split in found.items() if split == VALIDATION]
    if len(validation) == 2 and TEST not in found.values():
        late = [name for name in validation if words[name] in ALSO_TEST]
        if len(late) == 1:
            found[late[0]] = TEST
    return found


def _tokens(name: str) -> list[str]:
    """Returns the words of a name, in lower case: `["seg", "train"]`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [token for token in re.split(r"[^a-z]+", parted.lower()) if token]


def _word(name: str, common: set[str] = frozenset()) -> str | None:
    """Returns the one word of a name that may stand for a split, or None."""
    words = [t for t in _tokens(name) if t not in COMPANIONS and t not in common]
    if len(words) != 1:
        return None
    stem = words[0].removesuffix("set")  # trainset
    return stem if stem in KINDS else words[0]
