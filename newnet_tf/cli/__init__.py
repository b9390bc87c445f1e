"""The command line `newnet`: each command parses its arguments, calls one public function, prints.

A command NAME has a module `newnet_tf/cli/NAME.py` (`-` is `_` there) with two functions:
`add_arguments(parser)` and `run(arguments)`, which returns the exit status (None: 0). `newnet list` and
`newnet info` share `info.py`, whose functions are called `add_list_arguments`, `run_list`,
`add_info_arguments` and `run_info`. Options that several commands share are in `common.py`,
`model_options.py` and `export_options.py`, errors and help texts in `argument_parser.py`.

Results go to stdout, progress and notes to stderr. A module is imported when its command is used:
`newnet --help`, `newnet list` and `newnet info` do not import TensorFlow.
"""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence

import newnet_tf
from newnet_tf.cli.argument_parser import Parser

GROUPS = {
    "look": {
        "list": "list the models of the zoo",
        "info": "show a model's reported and measured figures, input and weights",
        "report": "plot reported accuracy against measured latency, size and multiply-adds",
    },
    "predict": {
        "predict": "classify images",
        "detect": "find objects in images; draw their boxes",
        "detect-text": "find words in images; draw them and the score maps",
        "evaluate": "measure accuracy on labeled images",
    },
    "train": {
        "data": "prepare datasets, show augmented images",
        "train": "train a model by a recipe; resume an interrupted run",
        "tune": "search hyperparameters of a recipe, learning rate and weight decay by default",
        "finetune": "finetune a model on classes of your own",
        "convert": "convert a checkpoint into a file that newnet_tf and Keras load",
    },
    "deploy": {
        "export": "write verified TFLite or ONNX files or a SavedModel",
        "quantize": "measure each layer's sensitivity to int8; keep some layers float32",
        "verify": "compare exported files with their Keras model",
        "bundle": "write a folder or zip with all that an app needs; check such a bundle",
        "web": "make a web page that classifies images in the browser",
    },
    "measure": {
        "benchmark": "compare the latency of models, or the throughput of data pipelines",
        "profile": "measure the time of each operator of a model",
    },
    "try everything": {
        "demo": "classify, detect, export, verify, benchmark and report in one run",
    },
}
COMMANDS = {name: summary for group in GROUPS.values() for name, summary in group.items()}
SHARED_MODULES = {"list": "info", "info": "info"}  # other commands have a module of their name


class _Subcommand(Parser):
    """A parser that imports its command's module at first use."""

    def __init__(self, *args, command: str | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.command = command

    def parse_known_args(self, args=None, namespace=None):
        if self.command:
            add_arguments, run = _functions(self.command)
            add_arguments(self)
            self.set_defaults(run=run)
            self.command = None
        return super().parse_known_args(args, namespace)


def _functions(command: str) -> tuple[Callable, Callable]:
    """Returns the functions of a command that add its arguments and run it."""
    name = SHARED_MODULES.get(command, command.replace("-", "_"))
    module = importlib.import_module(f"newnet_tf.cli.{name}")
    if command in SHARED_MODULES:
        return getattr(module, f"add_{command}_arguments"), getattr(module, f"run_{command}")
    return module.add_arguments, module.run


def parser() -> Parser:
    """Returns the parser of the whole command line."""
    top = Parser(
        prog="newnet",
        usage="newnet [-h] [--version] COMMAND ...",
        description="Light-weight vision models for Keras 3 and for phones.",
        epilog=_listing(),
    )
    top.add_argument("--version", action="version", version=f"newnet_tf {newnet_tf.__version__}")
    commands = top.add_subparsers(
        metavar="COMMAND",
        required=True,
        parser_class=_Subcommand,
        prog="newnet",
        help="one of those below; `newnet COMMAND --help` shows its arguments",
    )
    for name, summary in COMMANDS.items():
        commands.add_parser(name, description=f"{summary[0].upper()}{summary[1:]}.", command=name)
    return top


def _listing() -> str:
    """Returns the commands with their summaries, by what a user wants."""
    lines = []
    for title, group in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<12}{text}" for name, text in group.items()), ""]
    return "\n".join(lines).rstrip()


def _is_no_retracing(record: logging.LogRecord) -> bool:
    """Leaves out a warning of TensorFlow that a user of a command can do nothing about."""
    return "retracing" not in record.getMessage()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: sequence of str, the arguments after `newnet`; default: those of the process.

    Returns:
        int, the exit status: 0, 1 for an error, 130 when interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").addFilter(_is_no_retracing)
    arguments = parser().parse_args(argv)
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reading process, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get("NEWNET_TRACEBACK"):
            raise
        print(f"newnet: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("newnet: interrupted", file=sys.stderr)
        return 130
