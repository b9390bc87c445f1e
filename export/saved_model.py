"""A model of the zoo as a SavedModel for a server: JPEG bytes in, probabilities out.

    python export/saved_model.py efficientnet_lite0 --image cat.jpg

It loads with `tf.saved_model.load` or TensorFlow Serving, without newnet_tf. Resizing, cropping and
normalizing are inside; see `newnet_tf.deploy.export_saved_model` for its two signatures.
"""

import argparse
from pathlib import Path

import tensorflow as tf

import newnet_tf
from newnet_tf.data.labels import imagenet_labels
from newnet_tf.deploy import export_saved_model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name that `newnet list` shows, or name.tag")
    parser.add_argument("--image", required=True, help="a JPEG or PNG file to try it on")
    parser.add_argument("--out", default="build/export")
    arguments = parser.parse_args()

    # 1. The network with its weights, and how these want their images.
    if not newnet_tf.card(arguments.model).default_weights:
        parser.error(f"{arguments.model} has no published ImageNet weights")
    model = newnet_tf.create(arguments.model)
    preprocess = newnet_tf.preprocess(arguments.model).record

    # 2. Export, with the names of the classes beside the graph.
    names = [label.name for label in imagenet_labels()]
    folder = export_saved_model(model, Path(arguments.out) / arguments.model, preprocess, names)

    # 3. Load it as a server would, and ask.
    served = tf.saved_model.load(str(folder)).signatures["encoded"]
    answer = served(files=tf.constant([Path(arguments.image).read_bytes()]))
    probabilities = answer["probabilities"].numpy()[0]
    print(f"{folder} says of {arguments.image}:")
    for best in probabilities.argsort()[:-6:-1]:
        print(f"  {probabilities[best]:6.1%}  {names[best]}")


if __name__ == "__main__":
    main()
