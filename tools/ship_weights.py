"""Writes trained weights into the package, kernels in half precision; prints the digest for their card.

    python -m tools.ship_weights runs/voc/ssdlite_mobilenet_v2.keras voc

writes `newnet_tf/weights/shipped/ssdlite_mobilenet_v2.voc.safetensors`.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import keras

import newnet_tf
from newnet_tf.models import model_file
from newnet_tf.utils.io import sha256_bytes
from newnet_tf.weights import reader

FOLDER = Path(newnet_tf.__file__).parent / "weights" / "shipped"


def ship(file: Path, tag: str, folder: Path = FOLDER) -> Path:
    """Writes the weights of a `.keras` file with metadata; returns the path."""
    metadata = model_file.read_metadata(file)
    if metadata is None:
        raise ValueError(f"{file} must hold metadata of newnet_tf. Received: none")
    model = keras.models.load_model(file, compile=False)
    path = folder / f"{metadata.name}.{tag}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "model": metadata.name,
        "license": "Apache-2.0",
        "dataset": metadata.dataset or "",
        "weights": metadata.weights or "",
        "preprocess": json.dumps(dataclasses.asdict(metadata.preprocess)),
    }
    reader.write(path, reader.half_kernels(reader.tensors_of(model)), said)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a trained .keras file")
    parser.add_argument("tag", help="of the weights")
    arguments = parser.parse_args()
    path = ship(arguments.file, arguments.tag)
    data = path.read_bytes()
    print(f"wrote {path}, {len(data) / 1e6:.2f} MB; for its card: sha256={sha256_bytes(data)!r}")


if __name__ == "__main__":
    main()
