"""The command line `newnet`: arguments in, one call a command, readable output.

Results go to stdout, progress and notes to stderr. Only what a command needs is imported: `list`,
`info` and `--help` do not load TensorFlow.
"""

import argparse
import importlib
import os
import sys

import newnet_tf

COMMANDS = {
    "list": ("show", "list the networks of the zoo"),
    "info": ("show", "tell what is known of one network: claim, weights, measurements"),
    "predict": ("predict", "classify images"),
    "convert": ("convert", "turn a checkpoint into a file that newnet_tf and Keras load"),
    "export": ("export", "write TFLite or ONNX files or a SavedModel, verified"),
    "quantize": ("quantize", "int8 with an eye on each layer: which cost most, which stay float"),
    "bundle": ("bundle", "put all that an app needs into one folder or zip; check such a bundle"),
    "verify": ("export", "compare files with the Keras model they came from"),
    "web": ("web", "make a page that classifies images inside the browser, for any host"),
    "evaluate": ("evaluate", "measure accuracy on labeled images"),
    "finetune": ("finetune", "teach a network classes of your own, with a report and files"),
    "data": ("data", "prepare data sets, look at augmented images"),
    "train": ("train", "train or finetune a network by a recipe; goes on where it was ended"),
    "study": ("study", "try settings of a recipe, learning rate and weight decay first"),
    "benchmark": ("benchmark", "time networks, or data pipelines, side by side on this CPU"),
    "profile": ("profile", "tell what each operator of a network costs on this CPU"),
    "report": ("report", "draw claimed accuracy against cost: the talk's argument on one page"),
    "demo": ("demo", "the whole way once: classify, export, verify, time, report"),
}


class _Format(argparse.RawDescriptionHelpFormatter):
    """Keeps line breaks of epilogs, and names and explanations on one line."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=28)


class _Subcommand(argparse.ArgumentParser):
    """A parser that asks its module for arguments only when it is used."""

    def __init__(self, *args, command=None, **kwargs):
        super().__init__(*args, formatter_class=_Format, **kwargs)
        self.command = command

    def parse_known_args(self, args=None, namespace=None):
        if self.command:
            module = importlib.import_module(f"newnet_tf.cli.{COMMANDS[self.command][0]}")
            getattr(module, f"arguments_{self.command}")(self)
            self.set_defaults(run=getattr(module, f"run_{self.command}"))
            self.command = None
        return super().parse_known_args(args, namespace)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="newnet",
        description="Light-weight vision models for Keras 3 and for phones.",
        epilog="`newnet COMMAND --help` tells each command's arguments.",
        formatter_class=_Format,
    )
    top.add_argument("--version", action="version", version=f"newnet_tf {newnet_tf.__version__}")
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Subcommand
    )
    for name, (_, summary) in COMMANDS.items():
        commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", command=name
        )
    return top


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for bad input, 130 when interrupted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = parser().parse_args(argv)
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("NEWNET_TRACEBACK"):
            raise
        print(f"newnet: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("newnet: interrupted", file=sys.stderr)
        return 130
