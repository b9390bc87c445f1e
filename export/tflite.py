"""A model of the zoo as TFLite files for a phone, each verified on your images.

    python export/tflite.py efficientnet_lite0 --images photos/ --precision fp16 int8-full

The files appear in `build/export`, a recipe (JSON) beside each. They take uint8 pixels in 0-255 of
the model's input size, normalize by themselves, and give one score per class. On the phone: resize
the short side and crop the center as the recipe's `preprocess` says, and copy the bytes in.
"""

import argparse

import newnet_tf
from newnet_tf.data.images import list_images
from newnet_tf.deploy import PRECISIONS, export_tflite


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name that `newnet list` shows, or name.tag")
    parser.add_argument("--weights", help="your own checkpoint (default: the published weights)")
    parser.add_argument("--classes", type=int, default=1000, help="number of classes in it")
    parser.add_argument("--images", required=True, help="folder of images, of different things")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp16"])
    parser.add_argument("--out", default="build/export")
    arguments = parser.parse_args()

    # 1. The network with its weights, and how these want their images.
    if not (arguments.weights or newnet_tf.card(arguments.model).default_weights):
        parser.error(f"{arguments.model} has no published weights: pass a file as --weights")
    own = {"weights": arguments.weights} if arguments.weights else {}
    model = newnet_tf.create(arguments.model, classes=arguments.classes, **own)
    preprocess = newnet_tf.preprocess(arguments.model).record

    # 2. Images: 100 to measure the ranges of int8 on, 50 others (if there are) to verify on.
    found = list_images(arguments.images)
    calibration, images = found[::2][:100], found[1::2][:50] or found

    # 3. Convert, check, verify; nothing is written unless every file passes.
    results = export_tflite(
        model,
        preprocess,
        arguments.out,
        precisions=arguments.precision,
        calibration_images=calibration,
        validation_images=images,
        embed_normalization=True,
    )

    # 4. What came out.
    for result in results:
        print(f"{result.file}: {result.verification}")


if __name__ == "__main__":
    main()
