"""Which preprocessing a checkpoint file was trained with. Imports neither Keras nor NumPy."""

import os
from pathlib import Path

from newnet_tf.models.config import Card, PreprocessConfig
from newnet_tf.models.model_file import read_metadata
from newnet_tf.utils.io import sha256
from newnet_tf.utils.progress import note

WITH_METADATA = (".keras", ".safetensors")


def file_preprocess(file: str | os.PathLike, card: Card) -> PreprocessConfig:
    """Returns the preprocessing of a checkpoint given by path, and says on stderr which it is.

    Args:
        file: path.

        card: `Card` of the model that it is of.

    Returns:
        Of a file whose digest is that of weights of the card, theirs; else that of the metadata in the
        file, if it has any; else the card's usual one.
    """
    path = Path(file)
    digest = sha256(path) if path.is_file() else ""
    for weights in card.weights:
        known = [source.sha256 for source in weights.sources if source.sha256]
        if digest and any(digest.startswith(each) for each in known):
            note(f"{path.name} is {card.name}.{weights.tag}: with the preprocessing of its card")
            return weights.preprocess
    metadata = None
    if path.is_file() and path.suffix in WITH_METADATA:
        metadata = read_metadata(path)
    if metadata is not None:
        note(f"{path.name}: with the preprocessing that its metadata name")
        return metadata.preprocess
    note(
        f"{path.name} is no published file of {card.name}: with its usual preprocessing, mean "
        f"{card.preprocess.mean}, std {card.preprocess.std}"
    )
    return card.preprocess
