@AXIS@

  // Resizes an upright image, `width` * `height` * kChannels bytes, row by row, @PIXELS@, without
  // antialiasing: each pixel is interpolated between four. Returns values in 0-255, not rounded.
  static std::vector<float> Resize(const std::uint8_t* image, std::size_t width, std::size_t height) {
    const Axis x = PlanAxis(width, height), y = PlanAxis(height, width);
    const std::vector<Sample> across = Samples(x), down = Samples(y);
    std::vector<float> pixels;
    pixels.reserve(kSize * kSize * kChannels);
    for (const Sample& row : down) {
      const std::uint8_t* above = image + ((y.start + row.first) * width + x.start) * kChannels;
      const std::uint8_t* below = image + ((y.start + row.second) * width + x.start) * kChannels;
      for (const Sample& column : across) {
        for (std::size_t c = 0; c < kChannels; ++c) {
          const std::size_t left = column.first * kChannels + c, right = column.second * kChannels + c;
          const float top = Between(above[left], above[right], column.share);
          pixels.push_back(Between(top, Between(below[left], below[right], column.share), row.share));
        }
      }
    }
    return pixels;
  }

  static float Between(float first, float second, float share) {
    return first + (second - first) * share;
  }

  // The two pixels that a pixel lies between, and its distance from the first.
  struct Sample {
    std::size_t first, second;
    float share;
  };

  static std::vector<Sample> Samples(const Axis& axis) {
    const float scale = static_cast<float>(axis.extent) / static_cast<float>(axis.length);
    std::vector<Sample> samples(kSize);
    for (std::size_t i = 0; i < kSize; ++i) {
      const float place = (static_cast<float>(axis.offset + i) + kHalfPixel) * scale - kHalfPixel;
      const float first = std::floor(place), last = static_cast<float>(axis.extent - 1);
      samples[i].first = static_cast<std::size_t>(std::max(first, 0.0f));
      samples[i].second = static_cast<std::size_t>(std::clamp(std::ceil(place), 0.0f, last));
      samples[i].share = place - first;
    }
    return samples;
  }
