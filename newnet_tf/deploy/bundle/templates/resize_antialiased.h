@AXIS@

  // Resizes an upright image, `width` * `height` * kChannels bytes, row by row, @PIXELS@, as Pillow does
  // (@INTERPOLATION@): the width, then the height, each rounded.
  static std::vector<std::uint8_t> Resize(const std::uint8_t* image, std::size_t width,
                                          std::size_t height) {
    const Axis x = PlanAxis(width, height), y = PlanAxis(height, width);
    const std::uint8_t* corner = image + (y.start * width + x.start) * kChannels;
    std::vector<std::uint8_t> narrow(y.extent * kSize * kChannels), pixels(kSize * kSize * kChannels);
    Pass(corner, y.extent, width * kChannels, kChannels, Windows(x), narrow.data(), kSize * kChannels,
         kChannels);
    Pass(narrow.data(), kSize, kChannels, kSize * kChannels, Windows(y), pixels.data(), kChannels,
         kSize * kChannels);
    return pixels;
  }

  // The pixels that a pixel covers, and their weights in fractions of 2^22.
  struct Window {
    std::size_t first;
    std::vector<std::int32_t> weights;
  };

  static std::vector<Window> Windows(const Axis& axis) {
    const double scale = static_cast<double>(axis.extent) / static_cast<double>(axis.length);
    const double stretch = std::max(scale, 1.0), reach = kReach * stretch;
    std::vector<Window> windows(kSize);
    for (std::size_t i = 0; i < kSize; ++i) {
      const double center = (static_cast<double>(axis.offset + i) + 0.5) * scale;
      const std::size_t first = static_cast<std::size_t>(std::max(center - reach + 0.5, 0.0));
      const std::size_t last = std::min(static_cast<std::size_t>(center + reach + 0.5), axis.extent);
      std::vector<double> shares;
      double sum = 0.0;
      for (std::size_t at = first; at < last; ++at) {
        const double place = static_cast<double>(at) - center + 0.5;
        shares.push_back(Weigh(std::abs(place * (1.0 / stretch))));
        sum += shares.back();
      }
      windows[i].first = first;
      for (const double share : shares) {
        const double part = sum == 0.0 ? share : share / sum;
        windows[i].weights.push_back(static_cast<std::int32_t>(std::lround(part * (1 << 22))));
      }
    }
    return windows;
  }

  static double Weigh(double x) { @WEIGH@ }

  // Weighted sums along lines. `line` and `step` are the distances of lines and of pixels.
  static void Pass(const std::uint8_t* input, std::size_t lines, std::size_t line, std::size_t step,
                   const std::vector<Window>& windows, std::uint8_t* output, std::size_t output_line,
                   std::size_t output_step) {
    for (std::size_t number = 0; number < lines; ++number) {
      for (std::size_t i = 0; i < windows.size(); ++i) {
        for (std::size_t c = 0; c < kChannels; ++c) {
          std::int32_t sum = 1 << 21;
          const std::uint8_t* value = input + number * line + windows[i].first * step + c;
          for (const std::int32_t weight : windows[i].weights) {
            sum += *value * weight;
            value += step;
          }
          output[number * output_line + i * output_step + c] =
              static_cast<std::uint8_t>(std::clamp(sum >> 22, 0, 255));
        }
      }
    }
  }
