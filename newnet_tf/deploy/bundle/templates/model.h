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
  // `pixels`: kSize * kSize * kChannels @PIXEL_WORDS@, row by row, @PIXELS@: @FITTED@
  std::map<std::string, std::vector<float>> Run(const @PIXEL_TYPE@* pixels) {
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

@RESIZE_FUNCTION@

 private:
@OUTPUT_FUNCTION@

  @CONSTANTS@
  TfLiteModel* model_ = nullptr;
  TfLiteInterpreter* interpreter_ = nullptr;
};
