  static std::vector<float> Softmax(std::vector<float> scores) {
    const float largest = *std::max_element(scores.begin(), scores.end());
    for (float& score : scores) score = std::exp(score - largest);
    const float sum = std::accumulate(scores.begin(), scores.end(), 0.0f);
    for (float& score : scores) score /= sum;
    return scores;
  }
