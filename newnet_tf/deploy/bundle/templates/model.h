// @NAME@ in C++, by TensorFlow Lite's C interface. Generated from model.json; not run where it was
// generated, and not compiled there against the real header.
//
// Header: tensorflow/lite/c/c_api.h. Library: libtensorflowlite_c, or the one in the Android archive.
// Input: @INPUT@. Outputs: @OUTPUTS_TEXT@.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensorflow/lite/c/c_api.h"

class Model {
 public:
  static constexpr std::size_t kSize = @SIZE@;
  static constexpr std::size_t kChannels = @CHANNELS@;
  using Input = @INPUT_TYPE@;

@INTERPRETER@

  // Returns the outputs by name, each in the order of its shape in model.json.
  // `pixels`: kSize * kSize * kChannels bytes, row by row, @PIXELS@: the upright image's short side
  // resized to @RESIZE@ (@INTERPOLATION@, antialiased), the center cropped.
  std::map<std::string, std::vector<float>> Run(const std::uint8_t* pixels) {
    const std::vector<Input> input = Prepare(pixels);
    TfLiteTensor* image = TfLiteInterpreterGetInputTensor(interpreter_, 0);
    if (TfLiteTensorCopyFromBuffer(image, input.data(), input.size() * sizeof(Input)) != kTfLiteOk ||
        TfLiteInterpreterInvoke(interpreter_) != kTfLiteOk) {
      throw std::runtime_error("the input of the file must be that in model.json");
    }
    return {
@OUTPUT_ARRAYS@
    };
  }

@IMAGE@

 private:
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

  @CONSTANTS@
  TfLiteModel* model_ = nullptr;
  TfLiteInterpreter* interpreter_ = nullptr;
};
