"""Finds all tensors by name in what `torch.save` wrote: state dicts at any depth, whole modules.

A training checkpoint is a dictionary of dictionaries: weights, averaged weights, an optimizer's state,
numbers and text. All tensors are found but the optimizer's. Their names are those of the keys, joined
by `/`, then that in the state dict: `model_ema/module.conv1.weight`. Which of them a model takes is
decided in `newnet_tf.weights.places`, where the names are compared with those that a model knows.
"""

import pickle
import re
from collections.abc import Mapping

from newnet_tf.weights.pytorch.names import Object, View

SEPARATOR = "/"
MAX_DEPTH = 50
OPTIMIZER = re.compile(
    r"(^|_)optim(izer|$|s$|_)|^opts?$|(^|_)(sched|schedulers?|scaler|rng)(_|$)|^(callbacks|loops|amp)$"
)  # keys of dictionaries that hold no weights
SHOWN = 10


def find_tensors(saved: object) -> tuple[dict[str, View], list[str]]:
    """Finds the tensors in what a file holds.

    Args:
        saved: value of the file's pickle, see `unpickling.load`.

    Returns:
        ({name: `View`}, names of all that is left aside: numbers, text, an optimizer's state).
    """
    search = _Search()
    if not isinstance(saved, View):
        search.visit(saved, "", 0)
    return search.tensors, search.skipped


def describe(saved: object) -> str:
    """Returns what a file without named tensors holds, for an error."""
    if isinstance(saved, Object):
        return f"an object of the class {saved.kind}"
    if isinstance(saved, Mapping):
        keys = [_described(key, value) for key, value in saved.items()]
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        return f"a dictionary of {', '.join(keys[:SHOWN]) or 'nothing'}{more}"
    return "a tensor without a name" if isinstance(saved, View) else f"a {type(saved).__name__}"


def _described(key: object, value: object) -> str:
    kind = value.kind if isinstance(value, Object) else type(value).__name__
    return f"{f'{key}'[:60]!r} ({kind})"


class _Search:
    def __init__(self):
        self.tensors: dict[str, View] = {}
        self.skipped: list[str] = []
        self._visited: set[int] = set()

    def visit(self, value: object, path: str, depth: int) -> bool:
        """Collects the tensors in `value`, below the name `path`; returns whether there are any."""
        if isinstance(value, View):
            self._add(path, value)
            return True
        is_container = isinstance(value, dict | list | tuple | Object)
        if not is_container or depth > MAX_DEPTH or id(value) in self._visited:
            return False
        self._visited.add(id(value))
        if isinstance(value, Object):
            parts = _module_parts(value)
            if parts is not None:
                return self._visit_module(parts, path, depth)
            value = value.entries
        if isinstance(value, dict):
            if value.keys() >= {"state", "param_groups"}:  # of an optimizer
                return False
            items = [(key, part) for key, part in value.items() if isinstance(key, str)]
        else:
            items = [
                (f"{index}", part)
                for index, part in enumerate(value)
                if isinstance(part, dict | Object)
            ]
        return self._visit_items(items, path, SEPARATOR, depth)

    def _visit_items(self, items, path: str, separator: str, depth: int) -> bool:
        before, found = len(self.skipped), []
        for key, part in items:
            name = f"{path}{key}"
            is_tensor = isinstance(part, View)
            if is_tensor or not OPTIMIZER.search(key):
                inside = self.visit(part, name if is_tensor else f"{name}{separator}", depth + 1)
            else:
                inside = False
            found.append(inside)
            if not inside:
                self.skipped.append(name)
        if not any(found):
            del self.skipped[before:]  # the name of the whole stands for them
        return any(found)

    def _visit_module(self, parts: tuple[dict, dict], path: str, depth: int) -> bool:
        """Collects the tensors of a pickled module, under the names of its state dict."""
        own, inner = parts
        tensors = {k: v for k, v in own.items() if isinstance(k, str) and isinstance(v, View)}
        found = bool(tensors)
        for key, part in tensors.items():
            self._add(f"{path}{key}", part)
        for key, part in inner.items():
            parts = _module_parts(part) if isinstance(part, Object) else None
            is_new = parts is not None and depth <= MAX_DEPTH and id(part) not in self._visited
            if isinstance(key, str) and is_new:
                self._visited.add(id(part))
                found = self._visit_module(parts, f"{path}{key}.", depth + 1) or found
        return found

    def _add(self, name: str, view: View) -> None:
        if name in self.tensors:
            raise pickle.UnpicklingError(f"two of its tensors have the name {name[:60]!r}")
        self.tensors[name] = view


def _module_parts(value: Object) -> tuple[dict, dict] | None:
    """Returns tensors and modules inside a pickled `torch.nn.Module`; None for any other object."""
    state = value.state
    if not isinstance(state, dict) or "_modules" not in state:
        return None
    parts = [state.get(name, {}) for name in ("_parameters", "_buffers", "_modules")]
    parts = [part.entries if isinstance(part, Object) else part for part in parts]
    if not all(isinstance(part, dict) for part in parts):
        return None
    parameters, buffers, modules = parts
    temporary = state.get("_non_persistent_buffers_set", ())
    temporary = (
        {k for k in temporary if isinstance(k, str)} if isinstance(temporary, list) else set()
    )
    return parameters | {k: v for k, v in buffers.items() if k not in temporary}, modules
