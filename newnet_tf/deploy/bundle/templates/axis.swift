  /// Returns width and height of the image turned upright.
  private static func uprightSize(
    _ image: CGImage, _ orientation: CGImagePropertyOrientation
  ) -> (Int, Int) {
    switch orientation {
    case .leftMirrored, .right, .rightMirrored, .left: return (image.height, image.width)
    default: return (image.width, image.height)
    }
  }

  /// One axis of an image: `extent` pixels from `start` are resized to `length`, cropped from `offset`.
  private struct Axis {
    let start: Int
    let extent: Int
    let length: Int
    let offset: Int

    init(_ total: Int, _ other: Int) {
      extent = min(total, @CLASS@.maxAspect * other)
      start = (total - extent) / 2
      length = @LENGTH@
      offset = @OFFSET@
    }

    /// The first of the two pixels that pixel `i` of the input lies between.
    func first(_ i: Int) -> Int { return start + max(Int(place(i).rounded(.down)), 0) }

    func second(_ i: Int) -> Int {
      return start + min(max(Int(place(i).rounded(.up)), 0), extent - 1)
    }

    /// Its distance from the first.
    func share(_ i: Int) -> Float { return place(i) - place(i).rounded(.down) }

    private func place(_ i: Int) -> Float {
      return (Float(offset + i) + @CLASS@.halfPixel) * (Float(extent) / Float(length)) - @CLASS@.halfPixel
    }

    /// Returns a position in pixels of the image for one in fractions of the input.
    func toPixels(_ fraction: Float) -> Float {
      return Float(start) + (Float(offset) + fraction * Float(@CLASS@.size)) * Float(extent) / Float(length)
    }
  }
