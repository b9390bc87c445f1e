"""Who the workers of a run on several machines are: an address each, and which of them this one is.

TensorFlow reads it from the environment variable `TF_CONFIG`, which cluster managers set; `given`
makes one of a plain list. No TensorFlow.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "TF_CONFIG"
KINDS = ("chief", "worker")  # the chief is counted first
ADDRESS = re.compile(r"(?P<host>[^\s:,/]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Args:
        addresses: tuple of str, `"host:port"` of each worker, in the same order for all; the first is
            the chief. index: int, which of them this process is.

    Raises:
        ValueError: for an address of another form or given twice, or an index that no worker has.
    """

    addresses: tuple[str, ...]
    index: int

    def __post_init__(self):
        for address in self.addresses:
            found = ADDRESS.fullmatch(address)
            if not found or not 1 <= int(found["port"]) <= 65535:
                raise ValueError(
                    "workers must be given as host:port,host:port, each with a port of 1 to 65535. "
                    f"Received: {address!r}"
                )
        if len(set(self.addresses)) < len(self.addresses):
            raise ValueError(
                f"each worker must have an address of its own. Received: {','.join(self.addresses)}"
            )
        if not isinstance(self.index, int) or not 0 <= self.index < len(self.addresses):
            raise ValueError(
                f"`index` must say which of the {len(self.addresses)} workers this is, from 0. "
                f"Received: index={self.index!r}"
            )

    @property
    def config(self) -> str:
        """What `TF_CONFIG` must hold."""
        cluster, task = {"worker": list(self.addresses)}, {"type": "worker", "index": self.index}
        return json.dumps({"cluster": cluster, "task": task})


def given(
    workers: str | None = None,
    index: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Cluster:
    """Returns the cluster that the arguments or `TF_CONFIG` tell of.

    Args:
        workers: str, `"host:port,host:port"`, the chief first, or None. index: int, which of them
            this process is, or None. environment: mapping; default: the process's own.

    Raises:
        ValueError: where neither or both tell, one argument is missing, or what they tell cannot be.

    Example:
        >>> given("10.0.0.1:2222,10.0.0.2:2222", 1).config
    """
    text = environment.get(VARIABLE)
    if workers is None and index is None:
        if not text:
            raise ValueError(
                "a run on several workers must know them: --workers host:port,host:port --index I, "
                f"or {VARIABLE}. Received: neither"
            )
        return _configured(text)
    if workers is None or index is None:
        raise ValueError(
            f"`workers` and `index` must be given together. Received: {workers=}, {index=}"
        )
    if text:
        raise ValueError(
            f"workers must be told once. Received: --workers, and {VARIABLE} in the environment "
            f"({text})"
        )
    return Cluster(tuple(part.strip() for part in workers.split(",")), index)


def _configured(text: str) -> Cluster:
    """Reads `TF_CONFIG`."""
    try:
        said = json.loads(text)
        lists = {kind: [str(a) for a in said["cluster"].get(kind, ())] for kind in KINDS}
        kind, index = said["task"]["type"], int(said["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{VARIABLE} must be {{"cluster": {{"worker": ["host:port", ...]}}, "task": {{"type": '
            f'"worker", "index": 0}}}}. Received: {text!r} ({error!r})'
        ) from None
    if kind not in KINDS or not 0 <= index < len(lists[kind]):
        raise ValueError(
            f"{VARIABLE}'s task must be a {' or '.join(KINDS)} of its cluster. "
            f"Received: {kind} {index}, of {lists}"
        )
    before = len(lists["chief"]) if kind == "worker" else 0
    return Cluster((*lists["chief"], *lists["worker"]), before + index)
