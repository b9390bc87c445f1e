  private static func sigmoid(_ scores: [Float]) -> [Float] {
    return scores.map { 1 / (1 + exp(-$0)) }
  }
