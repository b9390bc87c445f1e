  /// Returns @SQUARE@ as the input of the file.
  private static func input(
    _ image: CGImage, _ orientation: CGImagePropertyOrientation
  ) -> Data {
    return input(upright(scaled(image), orientation))
  }

@SCALE_FUNCTION@

  /// Turns the pixels of a square image as its orientation says.
  private static func upright(
    _ rgba: [UInt8], _ orientation: CGImagePropertyOrientation
  ) -> [UInt8] {
    if orientation == .up { return rgba }
    var pixels = [UInt8]()
    pixels.reserveCapacity(rgba.count)
    let last = size - 1
    for row in 0..<size {
      for column in 0..<size {
        let place: (Int, Int)
        switch orientation {
        case .upMirrored: place = (row, last - column)
        case .down: place = (last - row, last - column)
        case .downMirrored: place = (last - row, column)
        case .leftMirrored: place = (column, row)
        case .right: place = (last - column, row)
        case .rightMirrored: place = (last - column, last - row)
        case .left: place = (column, last - row)
        default: place = (row, column)
        }
        let start = (place.0 * size + place.1) * 4
        pixels.append(contentsOf: rgba[start..<start + 4])
      }
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
