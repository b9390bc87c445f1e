  private static func softmax(_ scores: [Float]) -> [Float] {
    let largest = scores.max()!
    let powers = scores.map { exp($0 - largest) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }
