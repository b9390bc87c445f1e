  static std::vector<float> Sigmoid(std::vector<float> scores) {
    for (float& score : scores) score = 1.0f / (1.0f + std::exp(-score));
    return scores;
  }
