  /// Stretches the image; returns RGBA. Of an image longer than `maxAspect` times its short side the
  /// center is used. (The model was verified with Pillow's antialiased @INTERPOLATION@.)
  private static func scaled(_ image: CGImage) -> [UInt8] {
    var pixels = [UInt8](repeating: 0, count: size * size * 4)
    pixels.withUnsafeMutableBytes { memory in
      let context = CGContext(
        data: memory.baseAddress, width: size, height: size, bitsPerComponent: 8,
        bytesPerRow: size * 4, space: CGColorSpaceCreateDeviceRGB(),
        bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
      context.interpolationQuality = .high
      let side = CGFloat(size)
      let width = side * CGFloat(image.width) / CGFloat(min(image.width, maxAspect * image.height))
      let height = side * CGFloat(image.height) / CGFloat(min(image.height, maxAspect * image.width))
      context.draw(
        image,
        in: CGRect(x: (side - width) / 2, y: (side - height) / 2, width: width, height: height))
    }
    return pixels
  }
