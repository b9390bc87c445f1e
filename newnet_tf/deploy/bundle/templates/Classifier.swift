// @NAME@ on iOS. Generated from model.json; neither compiled nor run where it was generated.
//
// Pod: TensorFlowLiteSwift. Bundle: @ASSETS@.
// Input: @INPUT@. Output: @OUTPUTS_TEXT@.

import CoreGraphics
import Foundation
import ImageIO
import TensorFlowLite

final class Classifier {
  static let size = @SIZE@
  static let channels = @CHANNELS@
  @CONSTANTS@

  let labels: [String]
  private let interpreter: Interpreter

  init(folder: URL, file: String = "@FILE@", threads: Int = 2) throws {
    @LABEL_LINES@
    var options = Interpreter.Options()
    options.threadCount = threads
    interpreter = try Interpreter(
      modelPath: folder.appendingPathComponent(file).path, options: options)
    try interpreter.allocateTensors()
  }

  /// Returns @MEANING@, in the order of `labels`.
  /// `orientation`: how the image is stored, as EXIF data and UIImage say.
  func probabilities(
    _ image: CGImage, orientation: CGImagePropertyOrientation = .up
  ) throws -> [Float] {
    try interpreter.copy(Classifier.input(image, orientation), toInputAt: 0)
    try interpreter.invoke()
    let data = try interpreter.output(at: 0).data
    let scores: [Float] = data.withUnsafeBytes { bytes in
      bytes.bindMemory(to: @OUTPUT_TYPE@.self).map { @READ@ }
    }
    @FINISH@
  }

  /// Returns the `count` most probable classes.
  func classify(
    _ image: CGImage, orientation: CGImagePropertyOrientation = .up, count: Int = 5
  ) throws -> [(label: String, probability: Float)] {
    let all = zip(labels, try probabilities(image, orientation: orientation))
      .map { (label: $0, probability: $1) }
    return Array(all.sorted { $0.probability > $1.probability }.prefix(count))
  }

@IMAGE@

@ACTIVATION_FUNCTION@
}
