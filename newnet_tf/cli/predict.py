"""`newnet predict`: pictures in, the best classes out, from a Keras model or an exported file."""

import sys
from pathlib import Path

from newnet_tf.cli import models, tables


def arguments_predict(parser):
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="pictures or folders")
    models.add_model_argument(parser)
    parser.add_argument("--top", type=int, default=5, help="how many classes; default: 5")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "A .tflite file is run by LiteRT alone, with the preprocessing of the recipe beside it.\n"
        "Bad pictures are named and skipped; exit status 1 if any was."
    )


def run_predict(arguments):
    from newnet_tf.data.images import read_images
    from newnet_tf.data.labels import decode_predictions

    paths = models.pictures(arguments.images)
    classifier = models.classifier(arguments.model, arguments.weights, arguments.like)
    reader = read_images(paths)
    answers = []
    for position, image in models.quietly(reader):
        scores = classifier.probabilities(image)
        best = decode_predictions(scores, arguments.top, classifier.class_names)[0]
        answers.append({"image": str(paths[position]), "classes": _classes(best)})
    if arguments.json:
        bad = [{"image": str(b.path), "reason": b.reason} for b in reader.bad]
        print(tables.to_json({"model": arguments.model, "answers": answers, "skipped": bad}))
    else:
        for answer in answers:
            print(answer["image"])
            for row in answer["classes"]:
                print(f"  {100 * row['probability']:5.1f} %  {row['name']}")
    for bad in reader.bad:
        print(f"newnet: skipped: {bad.reason}", file=sys.stderr)
    return 1 if reader.bad else 0


def _classes(best) -> list[dict]:
    return [{"class": c, "name": name, "probability": float(p)} for c, name, p in best]
