"""A model of the zoo as a SavedModel for a server: JPEG bytes in, probabilities out.

    python export/saved_model.py efficientnet_lite0 --image cat.jpg

It loads with `tf.saved_model.load` or TensorFlow Serving, without newnet_tf. It resizes, crops and
normalizes; see `newnet_tf.deploy.export_saved_model` for its two signatures.
"""

import argparse
from pathlib import Path

import tensorflow as tf

import newnet_tf


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name that `newnet list` shows, or name.tag")
    parser.add_argument("--image", required=True, help="a JPEG or PNG file to try it on")
    parser.add_argument("--output", default="build/export")
    arguments = parser.parse_args()

    if not newnet_tf.model_card(arguments.model).default_weights:
        parser.error(f"{arguments.model} has no published ImageNet weights")

    # 1. Load the model with its weights and write the SavedModel, with the names of its classes.
    [folder] = newnet_tf.export(arguments.model, arguments.output, format="saved_model")
    names = Path(folder, "assets.extra", "class_names.txt").read_text(encoding="utf-8").splitlines()

    # 2. Load it as a server would, and run it.
    serve = tf.saved_model.load(str(folder)).signatures["encoded"]
    outputs = serve(files=tf.constant([Path(arguments.image).read_bytes()]))
    probabilities = outputs["probabilities"].numpy()[0]
    print(f"{folder}, predictions for {arguments.image}:")
    for index in probabilities.argsort()[:-6:-1]:
        print(f"  {probabilities[index]:6.1%}  {names[index]}")


if __name__ == "__main__":
    main()
