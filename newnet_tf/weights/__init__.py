"""From a name or a checkpoint file to a model's variables."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    card: object
    namings: tuple
    head: tuple
    build: object


def is_file(weights):
    return "." in str(weights)
