  template <typename Value>
  std::vector<float> Output(int index, std::size_t size, float scale, float zero_point) {
    std::vector<Value> values(size);
    if (TfLiteTensorCopyToBuffer(TfLiteInterpreterGetOutputTensor(interpreter_, index), values.data(),
                                 size * sizeof(Value)) != kTfLiteOk) {
      throw std::runtime_error("the outputs of the file must be those in model.json");
    }
    std::vector<float> real(size);
    for (std::size_t i = 0; i < size; ++i) real[i] = (static_cast<float>(values[i]) - zero_point) * scale;
    return real;
  }
