// @NAME@ on iOS. Generated from model.json; neither compiled nor run where it was generated.
//
// Pod: TensorFlowLiteSwift. Bundle: @ASSETS@.
// Input: @INPUT@. Outputs: @OUTPUTS_TEXT@.

import CoreGraphics
import Foundation
import ImageIO
import TensorFlowLite

final class Detector {
  static let size = @SIZE@
  static let channels = @CHANNELS@
  static let classes = @CLASSES@
  static let scoreThreshold: Float = @SCORE_THRESHOLD@
  @CONSTANTS@

  /// An object: its class, `labels[index]`, and its box in pixels of the upright image.
  struct Detection {
    let label: String
    let index: Int
    let score: Float
    let box: CGRect
  }

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

  /// Returns the detections of at least `minScore`, the highest score first.
  /// `orientation`: how the image is stored, as EXIF data and UIImage say.
  func detect(
    _ image: CGImage, orientation: CGImagePropertyOrientation = .up,
    minScore: Float = Detector.scoreThreshold
  ) throws -> [Detection] {
    try interpreter.copy(Detector.input(image, orientation), toInputAt: 0)
    try interpreter.invoke()
    let outputs: [String: [Float]] = [
@OUTPUT_ARRAYS@
    ]
    let (width, height) = Detector.uprightSize(image, orientation)
    let x = Axis(width, height)
    let y = Axis(height, width)
    let kept = Detector.decode(outputs["@BOXES@"]!, outputs["@SCORES@"]!, minScore)
    return kept.map { box in
      let left = CGFloat(x.toPixels(box.left))
      let top = CGFloat(y.toPixels(box.top))
      let right = CGFloat(x.toPixels(box.right))
      let bottom = CGFloat(y.toPixels(box.bottom))
      return Detection(
        label: labels[box.index], index: box.index, score: box.score,
        box: CGRect(x: left, y: top, width: right - left, height: bottom - top))
    }
  }

  private func values<Value>(_ index: Int, _ real: (Value) -> Float) throws -> [Float] {
    try interpreter.output(at: index).data.withUnsafeBytes { bytes in
      bytes.bindMemory(to: Value.self).map(real)
    }
  }

  /// A box in fractions of the input.
  private struct Box {
    let index: Int
    let score: Float
    let left: Float
    let top: Float
    let right: Float
    let bottom: Float

    var area: Float { return max(right - left, 0) * max(bottom - top, 0) }

    func overlap(_ other: Box) -> Float {
      let common = Box(
        index: 0, score: 0, left: max(left, other.left), top: max(top, other.top),
        right: min(right, other.right), bottom: min(bottom, other.bottom))
      return common.area / (area + other.area - common.area)
    }
  }

  /// Returns the boxes of raw outputs: non-maximum suppression in each class.
  private static func decode(_ codes: [Float], _ logits: [Float], _ minScore: Float) -> [Box] {
    var candidates = [(score: Float, index: Int, anchor: Int)]()
    for anchor in 0..<logits.count / columns {
      let row = anchor * columns
      @SCORE_SETUP@
      for index in 0..<classes {
        let score: Float = @SCORE@
        if score > minScore { candidates.append((score: score, index: index, anchor: anchor)) }
      }
    }
    candidates.sort { ($1.score, $0.index, $0.anchor) < ($0.score, $1.index, $1.anchor) }
    var kept = [Box]()
    for candidate in candidates.prefix(topK) where kept.count < maxDetections {
      let found = box(codes, candidate.anchor, candidate.index, candidate.score)
      let isCovered = kept.contains { other in
        other.index == found.index && other.overlap(found) > iouThreshold
      }
      if found.area > 0 && !isCovered { kept.append(found) }
    }
    return kept
  }

  /// Returns the box of an anchor, clipped to the image.
  private static func box(_ codes: [Float], _ anchor: Int, _ index: Int, _ score: Float) -> Box {
    let at = 4 * anchor
    let width = anchors[at + 2]
    let height = anchors[at + 3]
    let x = codes[at + @CODE_X@] / @CENTER_SCALE@ * width + anchors[at]
    let y = codes[at + @CODE_Y@] / @CENTER_SCALE@ * height + anchors[at + 1]
    let halfWidth = grown(codes[at + @CODE_WIDTH@]) * width / 2
    let halfHeight = grown(codes[at + @CODE_HEIGHT@]) * height / 2
    return Box(
      index: index, score: score, left: clipped(x - halfWidth), top: clipped(y - halfHeight),
      right: clipped(x + halfWidth), bottom: clipped(y + halfHeight))
  }

  private static func grown(_ code: Float) -> Float {
    return exp(min(code / @SIDE_SCALE@, @MAX_SIDE_CODE@))
  }

  private static func clipped(_ value: Float) -> Float { return min(max(value, 0), 1) }

@IMAGE@

  private static let columns = classes + @BACKGROUND@
  private static let iouThreshold: Float = @IOU_THRESHOLD@
  private static let topK = @TOP_K@
  private static let maxDetections = @MAX_DETECTIONS@

  /// For each feature map its size in cells, and width and height of the anchors of a cell.
  private static let maps: [(size: Int, sides: [Float])] = [
@MAPS@
  ]

  /// Center x, center y, width and height of each anchor in fractions of the image.
  private static let anchors: [Float] = {
    var values = [Float]()
    for map in maps {
      for cell in 0..<map.size * map.size {
        for side in stride(from: 0, to: map.sides.count, by: 2) {
          values.append(Float((Double(cell % map.size) + 0.5) / Double(map.size)))
          values.append(Float((Double(cell / map.size) + 0.5) / Double(map.size)))
          values.append(contentsOf: map.sides[side..<side + 2])
        }
      }
    }
    return values
  }()
}
