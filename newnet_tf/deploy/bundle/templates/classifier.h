// @NAME@ in C++, by TensorFlow Lite's C interface. Generated from model.json; not run where it was
// generated, and not compiled there against the real header.
//
// Header: tensorflow/lite/c/c_api.h. Library: libtensorflowlite_c, or the one in the Android archive.
// Input: @INPUT@. Output: @OUTPUTS_TEXT@.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensorflow/lite/c/c_api.h"

class Classifier {
 public:
  static constexpr std::size_t kSize = @SIZE@;
  static constexpr std::size_t kChannels = @CHANNELS@;
  static constexpr std::size_t kClasses = @CLASSES@;
  static constexpr std::size_t kOutputs = @OUTPUTS@;
  using Input = @INPUT_TYPE@;
  using Output = @OUTPUT_TYPE@;

@INTERPRETER@

  // Returns @MEANING@: kClasses values, in @LABEL_LINES@.
  // `pixels`: kSize * kSize * kChannels @PIXEL_WORDS@, row by row, @PIXELS@: @FITTED@
  std::vector<float> Probabilities(const @PIXEL_TYPE@* pixels) {
    const std::vector<Input> input = Prepare(pixels);
    std::vector<Output> output(kOutputs);
    TfLiteTensor* image = TfLiteInterpreterGetInputTensor(interpreter_, 0);
    if (TfLiteTensorCopyFromBuffer(image, input.data(), input.size() * sizeof(Input)) != kTfLiteOk ||
        TfLiteInterpreterInvoke(interpreter_) != kTfLiteOk ||
        TfLiteTensorCopyToBuffer(TfLiteInterpreterGetOutputTensor(interpreter_, 0), output.data(),
                                 output.size() * sizeof(Output)) != kTfLiteOk) {
      throw std::runtime_error("input and output of the file must be those in model.json");
    }
    std::vector<float> scores(kOutputs);
    for (std::size_t i = 0; i < kOutputs; ++i) scores[i] = @READ@;
    @FINISH@
  }

@IMAGE@

@RESIZE_FUNCTION@

@ACTIVATION_FUNCTION@

 private:
  @CONSTANTS@
  TfLiteModel* model_ = nullptr;
  TfLiteInterpreter* interpreter_ = nullptr;
};
