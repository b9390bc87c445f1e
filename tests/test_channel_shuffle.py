"""The channel shuffle has one form for known and one for unknown sides; both must deal alike."""

import keras
import numpy as np
import pytest

from newnet_tf import blocks


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("sides", [(5, 4), (None, None), (5, None)])
def test_channels_are_dealt_out_in_turn(groups, sides):
    runs = [np.random.RandomState(i).rand(2, 5, 4, 6).astype("float32") for i in range(groups)]
    inputs = [keras.Input((*sides, 6)) for _ in runs]
    shuffled = keras.Model(inputs, blocks.channel_shuffle(inputs, name="shuffle"))(runs)
    joined = np.concatenate(runs, axis=-1).reshape(2, 5, 4, groups, 6)
    papers = joined.swapaxes(3, 4).reshape(2, 5, 4, 6 * groups)
    np.testing.assert_array_equal(np.asarray(shuffled), papers)
