"""Writes newnet_tf/data/imagenet_labels.csv: index, WordNet number and name of ImageNet's classes.

Needs timm (any 1.x), only for two lists in its package data: the order of ILSVRC-2012's classes and
the words of WordNet 3.0's synsets. The name is the synset's first word, spaces as underscores, as
keras.applications names them.

    python tools/make_labels.py
"""

import csv
import importlib.util
import os
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "newnet_tf" / "data" / "imagenet_labels.csv"


def info_folder() -> Path:
    """Returns timm's folder of class lists, without importing timm (which needs torch)."""
    return Path(importlib.util.find_spec("timm").origin).parent / "data" / "_info"


def rows(info: Path) -> list[tuple[int, str, str]]:
    """Returns (index, wnid, name) in the order of networks' outputs."""
    words = {}
    for line in (info / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines():
        wnid, names = line.split("\t")
        words[wnid] = names.split(",")[0].strip().replace(" ", "_")
    wnids = (info / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    if len(wnids) != 1000 or wnids != sorted(set(wnids)):
        raise SystemExit(f"{info} must list 1,000 sorted classes. Received: {len(wnids)}")
    return [(i, wnid, words[wnid]) for i, wnid in enumerate(wnids)]


def main():
    """Writes the table, beside and then in place."""
    beside = TARGET.with_suffix(".part")
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("index", "wnid", "name"))
        writer.writerows(rows(info_folder()))
    os.replace(beside, TARGET)
    print(TARGET)


if __name__ == "__main__":
    main()
