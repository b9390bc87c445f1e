// @NAME@ on iOS. Generated from model.json; neither compiled nor run where it was generated.
//
// Pod: TensorFlowLiteSwift. Bundle: @ASSETS@.
// Input: @INPUT@. Outputs: @OUTPUTS_TEXT@.

import CoreGraphics
import Foundation
import ImageIO
import TensorFlowLite

final class Model {
  static let size = @SIZE@
  static let channels = @CHANNELS@
  @CONSTANTS@

  private let interpreter: Interpreter

  init(folder: URL, file: String = "@FILE@", threads: Int = 2) throws {
    var options = Interpreter.Options()
    options.threadCount = threads
    interpreter = try Interpreter(
      modelPath: folder.appendingPathComponent(file).path, options: options)
    try interpreter.allocateTensors()
  }

  /// Returns the outputs by name, each in the order of its shape in model.json.
  /// `orientation`: how the image is stored, as EXIF data and UIImage say. Positions are those of
  /// @SQUARE@.
  func run(
    _ image: CGImage, orientation: CGImagePropertyOrientation = .up
  ) throws -> [String: [Float]] {
    try interpreter.copy(Model.input(image, orientation), toInputAt: 0)
    try interpreter.invoke()
    return [
@OUTPUT_ARRAYS@
    ]
  }

  private func values<Value>(_ index: Int, _ real: (Value) -> Float) throws -> [Float] {
    try interpreter.output(at: index).data.withUnsafeBytes { bytes in
      bytes.bindMemory(to: Value.self).map(real)
    }
  }

@IMAGE@
}
