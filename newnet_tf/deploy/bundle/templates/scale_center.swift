  /// Crops the center and scales it; returns RGBA.
  /// (The model was verified with Pillow's antialiased @INTERPOLATION@.)
  private static func scaled(_ image: CGImage) -> [UInt8] {
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
