"""`Parser`: `argparse` with short errors that say what was meant, and help that keeps its lines."""

import argparse
import itertools
import re
import sys
from collections.abc import Sequence

from newnet_tf.utils.suggest import suggestion

HELP_POSITION = 28  # column where the texts of options begin
KINDS = {"int": "a whole number", "float": "a number", "comma_numbers": "whole numbers, as 1,2"}
REWORDED = (  # errors of argparse, in the words of this package
    (
        re.compile(r"the following arguments are required: (.+)"),
        "{0} must be given. Received: none",
    ),
    (
        re.compile(r"argument (\S+): not allowed with argument (\S+)"),
        "{0} must not be given with {1}. Received: both",
    ),
    (re.compile(r"argument (\S+): expected (.+)"), "{0} must have {1}. Received: none"),
)
INVALID = re.compile(r"argument (\S+): invalid (\w+) value: (.+)")


class HelpFormat(argparse.RawDescriptionHelpFormatter):
    """Keeps line breaks of epilogs, and an option and its text on one line where they fit."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=HELP_POSITION)


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the options and the values that are spelled much the same.

    Options may be shortened as long as one option begins so. What a command does not know is an error
    of that command, not of `newnet`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, formatter_class=HelpFormat, **kwargs)

    def parse_known_args(self, args=None, namespace=None):
        """Parses arguments; one that is unknown is an error that names the nearest option."""
        args = sys.argv[1:] if args is None else list(args)
        self._check_options(args)
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown[0])
        return known, unknown

    def error(self, message: str):
        """Ends the process with status 2, after the message and how to get help."""
        for pattern, words in REWORDED:
            if match := pattern.fullmatch(message):
                message = words.format(*match.groups())
        if match := INVALID.fullmatch(message):
            name, kind, value = match.groups()
            message = f"{name} must be {KINDS.get(kind, kind)}. Received: {value}"
        self.exit(2, f"{self.prog}: error: {message}\n`{self.prog} --help` shows the arguments\n")

    def _check_options(self, args: Sequence[str]) -> None:
        """Refuses unknown long options, before argparse says that others are missing."""
        own = itertools.takewhile(lambda arg: arg != "--", args)
        if self._subparsers is not None:  # after the name of a command come its own options
            own = itertools.takewhile(lambda arg: arg.startswith("-"), own)
        known = self._options()
        for arg in own:
            name = arg.partition("=")[0]
            if name.startswith("--") and not any(option.startswith(name) for option in known):
                self._refuse(arg)

    def _refuse(self, argument: str) -> None:
        is_option = argument.startswith("-")
        hint = (
            suggestion(argument.partition("=")[0], self._options(), cutoff=0.7) if is_option else ""
        )
        self.error(
            f"{'unknown option' if is_option else 'too many arguments'}. Received: {argument}{hint}"
        )

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is None or value in action.choices:
            return
        name = "/".join(action.option_strings) or f"{action.metavar or action.dest}"
        known = [f"{choice}" for choice in action.choices]
        raise argparse.ArgumentError(
            None,
            f"{name} must be among {', '.join(known)}. "
            f"Received: {value!r}{suggestion(value, known)}",
        )

    def _options(self) -> list[str]:
        return [option for action in self._actions for option in action.option_strings]
