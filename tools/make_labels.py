"""Writes newnet_tf/data/imagenet_labels.csv: index, WordNet number and name of ImageNet's classes.

Needs timm (any 1.x), only for two lists in its package data: the order of ILSVRC-2012's classes and
the words of WordNet 3.0's synsets. The name is the synset's first word, spaces as underscores, as
keras.applications names them.

    python tools/make_labels.py
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from newnet_tf.utils.io import write_csv  # noqa: E402

TARGET = ROOT / "newnet_tf" / "data" / "imagenet_labels.csv"


def info_folder() -> Path:
    """Returns timm's folder of class lists, without importing timm (which needs torch)."""
    return Path(importlib.util.find_spec("timm").origin).parent / "data" / "_info"


def rows(info: Path) -> list[tuple[int, str, str]]:
    """Returns (index, wnid, name) in the order of models' outputs."""
    words = {}
    for line in (info / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines():
        wnid, names = line.split("\t")
        words[wnid] = names.split(",")[0].strip().replace(" ", "_")
    wnids = (info / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
    if len(wnids) != 1000 or wnids != sorted(set(wnids)):
        raise SystemExit(f"{info} must list 1,000 sorted classes. Received: {len(wnids)}")
    return [(i, wnid, words[wnid]) for i, wnid in enumerate(wnids)]


def main() -> None:
    """Writes the table."""
    write_csv(TARGET, ("index", "wnid", "name"), rows(info_folder()))
    print(TARGET)


if __name__ == "__main__":
    main()
