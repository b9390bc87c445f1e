"""`newnet predict`: images in, the best classes out, from a Keras model or an exported file."""

from pathlib import Path

from newnet_tf import inference
from newnet_tf.cli import common
from newnet_tf.utils import tables


def arguments_predict(parser):
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="images or folders")
    parser.add_argument("--model", required=True, help="a network, .keras, .tflite or SavedModel")
    common.add_weights_arguments(parser)
    parser.add_argument("--top", type=int, default=5, help="how many classes; default: 5")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = (
        "A .tflite file is run by LiteRT alone, with the preprocessing of the recipe beside it.\n"
        "Images that cannot be read are skipped and named; the exit status is then 1."
    )


def run_predict(arguments):
    from newnet_tf.data.images import read_images
    from newnet_tf.data.labels import decode_predictions

    paths = common.image_files(arguments.images)
    predictor = inference.load(
        arguments.model, arguments.weights, arguments.like, arguments.activation
    )
    numbered = [f"class {i}" for i in range(predictor.classes)]
    names = None if predictor.is_imagenet else predictor.class_names or numbered
    reader, answers = read_images(paths), []
    with common.no_warnings():
        for position, image in reader:
            scores = predictor.probabilities(image)
            best = decode_predictions(scores, arguments.top, names)[0]
            answers.append({"image": str(paths[position]), "classes": _classes(best)})
    bad = [{"image": b.path, "reason": b.reason} for b in reader.skipped]
    if arguments.json:
        print(
            tables.to_json({"model": common.titled(arguments), "answers": answers, "skipped": bad})
        )
    else:
        print("\n".join(line for answer in answers for line in _lines(answer)))
    for skipped_image in bad:
        common.note(f"skipped: {skipped_image['reason']}")
    return 1 if bad else 0


def _classes(best) -> list[dict]:
    return [{"class": c, "name": name, "probability": float(p)} for c, name, p in best]


def _lines(answer: dict) -> list[str]:
    rows = [f"  {100 * c['probability']:5.1f} %  {c['name']}" for c in answer["classes"]]
    return [answer["image"], *rows]
