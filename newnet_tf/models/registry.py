"""Index of all networks: by name, by pattern, by timm's `name.tag`."""

import difflib
import fnmatch

from newnet_tf import applications as applications  # registers every family
from newnet_tf.models.config import Card, HubFile, PreprocessConfig
from newnet_tf.models.variants import REGISTRY, Variant

DEFAULT = object()


def list_models(pattern: str = "*") -> list[str]:
    """Returns the sorted names that match `pattern`.

    Args:
        pattern: str, as in a shell: `"rexnet*"`, `"*_100"`. Default: all.

    Example:
        >>> newnet_tf.list_models("newnet*")
        ['newnet_large', 'newnet_small']
    """
    return sorted(fnmatch.filter(REGISTRY, pattern))


def card(name: str) -> Card:
    """Returns the card of `name` (a tag behind a dot is ignored): claim, weights, measurements.

    Raises:
        ValueError: for an unknown name; it names the nearest ones.
    """
    return resolve(name)[0].card


def create(name: str, weights=DEFAULT, **arguments):
    """Builds a model by name.

    Args:
        name: str, a name that `list_models()` lists, or timm's, either with `.tag` behind it to
            select weights (`"rexnet_100.nav_in1k"`).
        weights: None, `"imagenet"`, a tag or a checkpoint file. Default: the tag in `name`, else the
            constructor's default (`"imagenet"` where such weights are published).
        **arguments: those of the constructors: `include_top`, `input_tensor`, `input_shape`,
            `pooling`, `classes`, `classifier_activation`, `name`.

    Returns:
        A Keras model.

    Raises:
        ValueError: for an unknown name, tag or argument, or a checkpoint that does not fit.

    Example:
        >>> model = newnet_tf.create("efficientnet_lite0", classes=10)
    """
    variant, tag = resolve(name)
    known = ("include_top", "input_tensor", "input_shape", "pooling", "classes")
    known += ("classifier_activation", "name")
    unknown = [a for a in arguments if a not in known]
    if unknown:
        raise ValueError(
            f"`create` takes name, weights, {', '.join(known)}. Received: {', '.join(unknown)}"
        )
    if weights is DEFAULT:
        weights = tag or variant.card.default_weights
    elif tag and weights != tag:
        raise ValueError(
            f"`weights` must be left out when `name` holds a tag. Received: {name=}, {weights=}"
        )
    return variant.build(weights=weights, **arguments)


def preprocess(name: str, weights: str | None = None):
    """Returns the whole way from images to the input of `name`.

    Args:
        name: str, as in `create`.
        weights: None, `"imagenet"` or a tag: whose preprocessing. Default: the network's usual one.

    Returns:
        A `newnet_tf.data.preprocess.Transform`: call it with an image (path, bytes, PIL image,
        uint8 array) or a list of them for a float32 array of shape (n, size, size, channels).

    Example:
        >>> model.predict(newnet_tf.preprocess("efficientnet_lite0")("cat.jpg"))
    """
    from newnet_tf.data.preprocess import Transform

    return Transform(preprocess_record(name, weights))


def preprocess_record(name: str, weights: str | None = None) -> PreprocessConfig:
    """Returns the `PreprocessConfig` record of `name` and the tag `weights`; see `preprocess`."""
    variant, tag = resolve(name)
    chosen = weights or tag
    return variant.card.select(chosen).preprocess if chosen else variant.card.preprocess


def resolve(name: str) -> tuple[Variant, str | None]:
    """Returns the variant that `name` means and the tag in it, if any.

    Raises:
        ValueError: for an unknown name; it names the nearest ones.
    """
    base, _, tag = str(name).partition(".")
    found = REGISTRY.get(base) or REGISTRY.get(_aliases().get(base, ""))
    if found is None:
        names = [*REGISTRY, *_aliases()]
        near = difflib.get_close_matches(base, names, n=5, cutoff=0.4) or list_models()
        raise ValueError(
            f"`name` must be a model of the zoo (`newnet list` lists them). Received: name={name!r}; "
            f"nearest: {', '.join(near)}"
        )
    if tag:
        found.card.select(tag)
    return found, tag or None


def _aliases() -> dict[str, str]:
    """timm's names, read off the hub repositories that the cards name."""
    return {
        source.repo.split("/")[-1].partition(".")[0]: name
        for name, variant in REGISTRY.items()
        for weights in variant.card.weights
        for source in weights.sources
        if isinstance(source, HubFile) and source.repo.startswith("timm/")
    }
