  // Returns the input of the file.
  static std::vector<Input> Prepare(const @PIXEL_TYPE@* pixels) {
    std::vector<Input> input(kSize * kSize * kChannels);
    for (std::size_t i = 0; i < input.size(); ++i) {
      @PUT@
    }
    return input;
  }
