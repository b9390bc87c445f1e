"""A model of the zoo as TFLite files for a phone, each verified on your images.

    python export/tflite.py efficientnet_lite0 --images photos/ --precision fp16 int8-full

The files are written to `build/export`. Each holds its metadata; a description next to it (JSON) says
the same for people. They take uint8 pixels in 0-255 of the model's input size, normalize by themselves,
and return a score for each class. On the phone, resize the short side and crop the center as the
metadata's `preprocess` says, and copy the bytes into the input.
"""

import argparse

import newnet_tf
from newnet_tf.data.images import list_images
from newnet_tf.deploy import PRECISIONS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name that `newnet list` shows, or name.tag")
    parser.add_argument("--weights", help="your own checkpoint (default: the published weights)")
    parser.add_argument("--classes", type=int, help="number of classes (default: those in it)")
    parser.add_argument("--images", required=True, help="folder of images, of different things")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp16"])
    parser.add_argument("--output", default="build/export")
    arguments = parser.parse_args()

    # 1. Images: 100 to calibrate int8 with, 50 others (if there are) to verify on.
    paths = list_images(arguments.images)
    calibration, validation = paths[::2][:100], paths[1::2][:50] or paths

    # 2. Load, convert, check, verify. Nothing is written unless every file passes.
    files = newnet_tf.export(
        arguments.model,
        arguments.output,
        precisions=arguments.precision,
        calibration_images=calibration,
        validation_images=validation,
        weights=arguments.weights,
        classes=arguments.classes,
        embed_normalization=True,
    )

    # 3. The files and how they compare with the model.
    for file in files:
        print(file)


if __name__ == "__main__":
    main()
