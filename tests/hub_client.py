"""A process that downloads weights: one step for each argument, one line of JSON for each.

The hub's library reads its environment when it is imported, so each test starts one with the address
of its own hub.
"""

import hashlib
import json
import sys

from newnet_tf.models import config
from newnet_tf.weights import CheckpointError, LoadTarget, fetch

REPO = "timm/tiny.test_in1k"


def build(classes):
    """A network of one layer."""
    import keras

    image = keras.Input((1, 1, 6))
    return keras.Model(image, keras.layers.Conv2D(classes, 1, name="classifier")(image))


def target():
    """Its `LoadTarget`."""
    checkpoint_format = config.CheckpointFormat(name="timm", layers={"classifier": "conv"})
    return LoadTarget(
        config.Card(name="tiny", title="Tiny"), (checkpoint_format,), ("classifier",), build
    )


def weights(*sources):
    """A card's weights with these sources."""
    return config.Weights(
        tag="test_in1k",
        sources=sources,
        license="MIT",
        author="nobody",
        preprocess=config.PreprocessConfig(),
        classes=4,
    )


def digest(tensors):
    """A digest of arrays by name."""
    hasher = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        hasher.update(f"{name}{tensor.shape}".encode() + tensor.tobytes())
    return hasher.hexdigest()


def download(**arguments):
    """Fetches the tiny weights."""
    from newnet_tf.weights import reader

    try:
        path = fetch.download(target(), weights(config.HubFile(repo=REPO, **arguments)))
    except CheckpointError as error:
        return {"error": f"{error}"}
    checkpoint = reader.read(path)
    return {"file": path.name, "digest": digest(checkpoint.tensors), **checkpoint.metadata}


def rexnet():
    """Builds a public network with its weights."""
    from newnet_tf.applications import ReXNet100
    from newnet_tf.weights.reader import tensors_of

    model = ReXNet100(weights="imagenet")
    return {"digest": digest(tensors_of(model)), "torch": "torch" in sys.modules}


def forget():
    """Removes what was converted."""
    for path in (fetch.home() / "weights").glob("*.safetensors"):
        path.unlink()
    return {}


def wait():
    """Waits for a line from the parent."""
    sys.stdin.readline()
    return {}


STEPS = {
    "download": download,
    "download-exact": lambda: download(sha256="0" * 64),
    "rexnet": rexnet,
    "forget": forget,
    "wait": wait,
}

if __name__ == "__main__":
    for step in sys.argv[1:]:
        print(json.dumps(STEPS[step]()), flush=True)
