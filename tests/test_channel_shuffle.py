"""The channel shuffle has one form for known and one for unknown sides; both must deal alike."""

import keras
import numpy as np
import pytest

from newnet_tf.models import blocks


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("sides", [(5, 4), (None, None), (5, None)])
def test_channels_are_dealt_out_in_turn(groups, sides):
    x = np.random.RandomState(0).rand(2, 5, 4, 6 * groups).astype("float32")
    image = keras.Input((*sides, 6 * groups))
    shuffled = keras.Model(image, blocks.channel_shuffle(image, groups, name="shuffle"))(x)
    papers = x.reshape(2, 5, 4, groups, 6).swapaxes(3, 4).reshape(x.shape)
    np.testing.assert_array_equal(np.asarray(shuffled), papers)
