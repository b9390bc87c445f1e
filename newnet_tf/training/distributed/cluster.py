"""The workers of a run on several machines: their addresses, and which of them this process is.

TensorFlow reads them from the environment variable `TF_CONFIG`, which cluster managers set;
`resolve_cluster` makes one from a plain list. No TensorFlow.
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
            the chief.

        index: int, which of them this process is.

    Raises:
        ValueError: if an address has another form or occurs twice, or no worker has the index.
    """

    addresses: tuple[str, ...]
    index: int

    def __post_init__(self):
        for address in self.addresses:
            match = ADDRESS.fullmatch(address)
            if not match or not 1 <= int(match["port"]) <= 65535:
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
                f"`worker_index` must say which of the {len(self.addresses)} workers this is, from "
                f"0. Received: worker_index={self.index!r}"
            )

    @property
    def config(self) -> str:
        """The value of `TF_CONFIG`."""
        cluster, task = {"worker": list(self.addresses)}, {"type": "worker", "index": self.index}
        return json.dumps({"cluster": cluster, "task": task})


def resolve_cluster(
    workers: str | None = None,
    index: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Cluster:
    """Returns the cluster that the arguments, or `TF_CONFIG`, describe.

    Args:
        workers: str, `"host:port,host:port"`, the chief first, or None.

        index: int, which of them this process is, or None.

        environment: mapping. Default: the process's environment.

    Raises:
        ValueError: if neither or both describe it, one argument is missing, or the description is not
            valid.

    Example:
        >>> resolve_cluster("10.0.0.1:2222,10.0.0.2:2222", 1).config
    """
    text = environment.get(VARIABLE)
    if workers is None and index is None:
        if not text:
            raise ValueError(
                "a run on several workers must know them: --workers host:port,host:port "
                f"--worker-index I, or {VARIABLE}. Received: neither"
            )
        return _parse_config(text)
    if workers is None or index is None:
        raise ValueError(
            "`workers` and `worker_index` must be given together. "
            f"Received: workers={workers}, worker_index={index}"
        )
    if text:
        raise ValueError(
            f"workers must be given once. Received: --workers, and {VARIABLE} in the environment "
            f"({text})"
        )
    return Cluster(tuple(part.strip() for part in workers.split(",")), index)


def _parse_config(text: str) -> Cluster:
    """Parses `TF_CONFIG`."""
    try:
        config = json.loads(text)
        addresses = {kind: [str(a) for a in config["cluster"].get(kind, ())] for kind in KINDS}
        kind, index = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{VARIABLE} must be {{"cluster": {{"worker": ["host:port", ...]}}, "task": {{"type": '
            f'"worker", "index": 0}}}}. Received: {text!r} ({error!r})'
        ) from None
    if kind not in KINDS or not 0 <= index < len(addresses[kind]):
        raise ValueError(
            f"{VARIABLE}'s task must be a {' or '.join(KINDS)} of its cluster. "
            f"Received: {kind} {index}, of {addresses}"
        )
    before = len(addresses["chief"]) if kind == "worker" else 0
    return Cluster((*addresses["chief"], *addresses["worker"]), before + index)
