    private fun softmax(scores: FloatArray): FloatArray {
        val largest = scores.max()
        val powers = FloatArray(scores.size) { exp(scores[it] - largest) }
        val sum = powers.sum()
        return FloatArray(scores.size) { powers[it] / sum }
    }
