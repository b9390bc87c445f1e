    private fun sigmoid(scores: FloatArray): FloatArray =
        FloatArray(scores.size) { 1f / (1f + exp(-scores[it])) }
