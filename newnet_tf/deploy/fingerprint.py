"""Digest of a model's graph, and versions: what a file's bytes depend on besides its weights."""

import contextlib
import hashlib
import importlib.metadata
import json
from typing import Any

CONNECTIONS = ("keras_history", "input_layers", "output_layers")  # keys that refer to operations


def graph_digest(model: Any) -> str:
    """Returns sha256 over layers, their arguments and connections.

    Names do not count: Keras numbers operations by what was built before in the same process.
    """
    config = json.loads(model.to_json())["config"]
    order = {op.name: number for number, op in enumerate(model.operations)}

    def anonymous(value, key=None):
        if isinstance(value, dict):
            keep = key if key in CONNECTIONS else None  # outputs by name
            return {k: anonymous(v, keep or k) for k, v in value.items() if k != "name"}
        if isinstance(value, list):
            is_reference = key in CONNECTIONS and value and isinstance(value[0], str)
            first = [order.get(value[0], value[0])] if is_reference else []
            return first + [anonymous(v, key) for v in value[len(first) :]]
        return value

    return hashlib.sha256(json.dumps(anonymous(config), sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions of the packages that a conversion depends on."""
    return versions_of("tensorflow", "tensorflow-cpu", "keras")


def versions_of(*packages: str) -> dict[str, str]:
    """Returns the versions of those packages that are installed."""
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package.removesuffix("-cpu")] = importlib.metadata.version(package)
    return versions
