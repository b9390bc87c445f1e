"""Which images of a split a shard reads, and in which order."""

import numpy as np


def shard_positions(
    size: int,
    batch_size: int,
    *,
    seed: int | None = None,
    num_shards: int = 1,
    shard_index: int = 0,
    start: int = 0,
    even: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images that a shard reads.

    Args:
        size: int, number of images of the split.

        batch_size, seed, num_shards, shard_index, start, even: as `Split.batches` takes them.

    Returns:
        (images, positions): int arrays, the images in order, and their positions in the order of all
        shards together.
    """
    check_shard(batch_size, num_shards, shard_index, start)
    order = np.arange(size) if seed is None else np.random.default_rng(seed).permutation(size)
    positions = np.arange(size)
    if even:
        positions = positions[: size // num_shards // batch_size * batch_size * num_shards]
    positions = positions[shard_index::num_shards][start * batch_size :]
    return order[positions], positions


def check_shard(batch_size: int, num_shards: int, shard_index: int, start: int) -> None:
    """Raises ValueError for arguments of `Split.batches` that do not fit together."""
    if batch_size < 1 or start < 0 or not 0 <= shard_index < num_shards:
        raise ValueError(
            "`batch_size` must be positive, `start` not negative, `shard_index` lie in 0 to "
            f"`num_shards` - 1. Received: batch_size={batch_size}, start={start}, "
            f"num_shards={num_shards}, shard_index={shard_index}"
        )
