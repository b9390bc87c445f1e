// @NAME@ on iOS. Generated from model.json; neither compiled nor run where it was generated.
//
// Pod: TensorFlowLiteSwift. Bundle: the .tflite file and @LABELS@.
// Input: @INPUT@. Output: @OUTPUTS@.

import CoreGraphics
import Foundation
import TensorFlowLite

final class Classifier {
  static let size = @SIZE@
  static let resize = @RESIZE@
  static let channels = @CHANNELS@
  static let classes = @CLASSES@
  @CONSTANTS@

  let labels: [String]
  private let interpreter: Interpreter

  init(folder: URL, file: String = "@FILE@", threads: Int = 2) throws {
    let text = try String(contentsOf: folder.appendingPathComponent("@LABELS@"), encoding: .utf8)
    labels = text.split(separator: "\n").map(String.init)
    var options = Interpreter.Options()
    options.threadCount = threads
    interpreter = try Interpreter(
      modelPath: folder.appendingPathComponent(file).path, options: options)
    try interpreter.allocateTensors()
  }

  /// Returns the probability of each class, in the order of `labels`.
  func probabilities(_ image: CGImage) throws -> [Float] {
    try interpreter.copy(Classifier.input(Classifier.cropped(image)), toInputAt: 0)
    try interpreter.invoke()
    let data = try interpreter.output(at: 0).data
    let scores: [Float] = data.withUnsafeBytes { bytes in
      bytes.bindMemory(to: @OUTPUT_TYPE@.self).map { @READ@ }
    }
    @FINISH@
  }

  /// Returns the `count` most probable classes.
  func classify(_ image: CGImage, count: Int = 5) throws -> [(label: String, probability: Float)] {
    let all = zip(labels, try probabilities(image)).map { (label: $0, probability: $1) }
    return Array(all.sorted { $0.probability > $1.probability }.prefix(count))
  }

@IMAGE@

  private static func softmax(_ scores: [Float]) -> [Float] {
    let largest = scores.max()!
    let powers = scores.map { exp($0 - largest) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }
}
