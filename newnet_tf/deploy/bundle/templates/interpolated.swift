  /// Returns @SQUARE@, without antialiasing, as the input of the file: each value is interpolated
  /// between four pixels of the image.
  private static func input(
    _ image: CGImage, _ orientation: CGImagePropertyOrientation
  ) -> Data {
    let (width, height) = uprightSize(image, orientation)
    let rgba = stored(image)
    let x = Axis(width, height)
    let y = Axis(height, width)
    var values = [@INPUT_TYPE@]()
    values.reserveCapacity(size * size * channels)
    for row in 0..<size {
      for column in 0..<size {
        let share = x.share(column)
        let corners = [y.first(row), y.second(row)].flatMap { line in
          [x.first(column), x.second(column)].map { place in
            color(rgba, image, orientation, line, place)
          }
        }
        for c in 0..<channels {
          let top = between(corners[0][c], corners[1][c], share)
          let bottom = between(corners[2][c], corners[3][c], share)
          let value = between(top, bottom, y.share(row))
          @PUT@
        }
      }
    }
    return values.withUnsafeBufferPointer { Data(buffer: $0) }
  }

  private static func between(_ first: Float, _ second: Float, _ share: Float) -> Float {
    return first + (second - first) * share
  }

  /// Returns the channels of a pixel of the upright image, in the model's order.
  private static func color(
    _ rgba: [UInt8], _ image: CGImage, _ orientation: CGImagePropertyOrientation, _ row: Int,
    _ column: Int
  ) -> [Float] {
    let right = image.width - 1
    let bottom = image.height - 1
    let place: (Int, Int)
    switch orientation {
    case .upMirrored: place = (row, right - column)
    case .down: place = (bottom - row, right - column)
    case .downMirrored: place = (bottom - row, column)
    case .leftMirrored: place = (column, row)
    case .right: place = (bottom - column, row)
    case .rightMirrored: place = (bottom - column, right - row)
    case .left: place = (column, right - row)
    default: place = (row, column)
    }
    let start = (place.0 * image.width + place.1) * 4
    let red = Int(rgba[start])
    let green = Int(rgba[start + 1])
    let blue = Int(rgba[start + 2])
    return [@VALUES@].map { Float($0) }
  }

  /// Returns the pixels of the image as it is stored, RGBA.
  private static func stored(_ image: CGImage) -> [UInt8] {
    var pixels = [UInt8](repeating: 0, count: image.width * image.height * 4)
    pixels.withUnsafeMutableBytes { memory in
      let context = CGContext(
        data: memory.baseAddress, width: image.width, height: image.height, bitsPerComponent: 8,
        bytesPerRow: image.width * 4, space: CGColorSpaceCreateDeviceRGB(),
        bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
      context.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
    }
    return pixels
  }
