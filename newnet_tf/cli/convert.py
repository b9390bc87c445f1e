"""`newnet convert`: a checkpoint of another kind, checked both ways, into a file of ours."""

import sys
from pathlib import Path

from newnet_tf import weights
from newnet_tf.models import registry
from newnet_tf.utils import tables


def arguments_convert(parser):
    parser.add_argument("file", type=Path, help=f"checkpoint: {', '.join(weights.SUFFIXES)}")
    parser.add_argument("--model", required=True, help="network that it is of, e.g. rexnet_100")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, help=f"one of {', '.join(weights.WRITABLE)}"
    )
    parser.add_argument(
        "--classes", type=int, help="its number of classes; default: read from the checkpoint"
    )
    parser.add_argument("--no-head", action="store_true", help="leave pooling and classifier out")
    parser.add_argument("--json", action="store_true", help="what was done, as JSON")
    parser.epilog = (
        "Every tensor of the checkpoint is used and every variable filled, or it is an error.\n"
        "example: newnet convert rexnetv1_1.0.pth --model rexnet_100 -o rexnet.weights.h5"
    )


def run_convert(arguments):
    from newnet_tf.weights import assign, reader

    if not str(arguments.output).endswith(weights.WRITABLE):
        raise ValueError(
            f"`--output` must end in {', '.join(weights.WRITABLE)}. Received: {arguments.output}"
        )
    variant, _ = registry.resolve(arguments.model)
    read = reader.read(arguments.file)
    others = (v.target for v in registry.REGISTRY.values() if v is not variant)
    target = variant.target()
    classes = arguments.classes or assign.classes_in(read, target) or variant.card.classes
    model = variant.build(include_top=not arguments.no_head, classes=classes)
    report = assign.fill(model, read, target, others=others, fresh_classifier=False)
    weights.save(model, arguments.output)
    done = {
        "model": variant.card.name,
        "naming": report.naming,
        "tensors": report.tensors,
        "skipped": list(report.skipped),
        "classes": None if arguments.no_head else classes,
        "output": str(arguments.output),
    }
    if arguments.json:
        print(tables.to_json(done))
        return
    print(f"{arguments.output}: {report.tensors} tensors in {report.naming} naming")
    if report.skipped:
        shown = ", ".join(report.skipped[:3])
        more = f" and {len(report.skipped) - 3} more" if len(report.skipped) > 3 else ""
        print(f"skipped, as a network has no use for them: {shown}{more}", file=sys.stderr)
