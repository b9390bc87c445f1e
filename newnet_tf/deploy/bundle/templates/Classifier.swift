// @NAME@ on iOS. Generated from model.json; neither compiled nor run where it was generated.
//
// Pod: TensorFlowLiteSwift. Bundle: the .tflite file and @LABELS@.
// Takes: @TAKES@. Gives: @GIVES@.

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

  /// The center, scaled: RGBA. (The network was tested with Pillow's antialiased @INTERPOLATION@ filter.)
  private static func cropped(_ image: CGImage) -> [UInt8] {
    var pixels = [UInt8](repeating: 0, count: size * size * 4)
    pixels.withUnsafeMutableBytes { memory in
      let context = CGContext(
        data: memory.baseAddress, width: size, height: size, bitsPerComponent: 8,
        bytesPerRow: size * 4, space: CGColorSpaceCreateDeviceRGB(),
        bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
      context.interpolationQuality = .high
      let factor = CGFloat(resize) / CGFloat(min(image.width, image.height))
      let width = CGFloat(image.width) * factor
      let height = CGFloat(image.height) * factor
      let side = CGFloat(size)
      context.draw(
        image,
        in: CGRect(x: (side - width) / 2, y: (side - height) / 2, width: width, height: height))
    }
    return pixels
  }

  private static func input(_ rgba: [UInt8]) -> Data {
    var values = [@INPUT_TYPE@]()
    values.reserveCapacity(size * size * channels)
    for start in stride(from: 0, to: rgba.count, by: 4) {
      let red = Int(rgba[start])
      let green = Int(rgba[start + 1])
      let blue = Int(rgba[start + 2])
      for (@INDEX@, value) in [@VALUES@].enumerated() {
        @PUT@
      }
    }
    return values.withUnsafeBufferPointer { Data(buffer: $0) }
  }

  private static func softmax(_ scores: [Float]) -> [Float] {
    let largest = scores.max()!
    let powers = scores.map { exp($0 - largest) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }
}
