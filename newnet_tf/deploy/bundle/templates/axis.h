  // One axis of an image: `extent` pixels from `start` are resized to `length` and cropped from `offset`.
  struct Axis {
    std::size_t start, extent, length, offset;
  };

  static Axis PlanAxis(std::size_t size, std::size_t other) {
    const std::size_t extent = std::min(size, kMaxAspect * other);
    @PLAN@
  }
