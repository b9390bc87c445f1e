// @NAME@ in C++, by TensorFlow Lite's C interface. Generated from model.json; not run where it was
// generated, and not compiled there against the real header.
//
// Header: tensorflow/lite/c/c_api.h. Library: libtensorflowlite_c, or the one in the Android archive.
// Takes: @TAKES@. Gives: @GIVES@.

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
  using Input = @INPUT_TYPE@;
  using Output = @OUTPUT_TYPE@;

  explicit Classifier(const std::string& file = "@FILE@", int threads = 2) {
    model_ = TfLiteModelCreateFromFile(file.c_str());
    if (model_ == nullptr) throw std::runtime_error("not a TFLite file: " + file);
    TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
    TfLiteInterpreterOptionsSetNumThreads(options, threads);
    interpreter_ = TfLiteInterpreterCreate(model_, options);
    TfLiteInterpreterOptionsDelete(options);
    if (interpreter_ == nullptr || TfLiteInterpreterAllocateTensors(interpreter_) != kTfLiteOk) {
      throw std::runtime_error("cannot be run: " + file);
    }
  }

  ~Classifier() {
    TfLiteInterpreterDelete(interpreter_);
    TfLiteModelDelete(model_);
  }

  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;

  // Returns the probability of each class, in the order of @LABELS@.
  // `pixels`: kSize * kSize * kChannels bytes, row by row, @COLORS@: the short side resized to
  // @RESIZE@ (@INTERPOLATION@, antialiased), the center cropped.
  std::vector<float> Probabilities(const std::uint8_t* pixels) {
    const std::vector<Input> input = Prepare(pixels);
    std::vector<Output> output(kClasses);
    TfLiteTensor* image = TfLiteInterpreterGetInputTensor(interpreter_, 0);
    if (TfLiteTensorCopyFromBuffer(image, input.data(), input.size() * sizeof(Input)) != kTfLiteOk ||
        TfLiteInterpreterInvoke(interpreter_) != kTfLiteOk ||
        TfLiteTensorCopyToBuffer(TfLiteInterpreterGetOutputTensor(interpreter_, 0), output.data(),
                                 output.size() * sizeof(Output)) != kTfLiteOk) {
      throw std::runtime_error("the file must take and give what model.json says");
    }
    std::vector<float> scores(kClasses);
    for (std::size_t i = 0; i < kClasses; ++i) scores[i] = @READ@;
    @FINISH@
  }

  // Returns what the file takes.
  static std::vector<Input> Prepare(const std::uint8_t* pixels) {
    std::vector<Input> input(kSize * kSize * kChannels);
    for (std::size_t i = 0; i < input.size(); ++i) {
      @PUT@
    }
    return input;
  }

  static std::vector<float> Softmax(std::vector<float> scores) {
    const float largest = *std::max_element(scores.begin(), scores.end());
    for (float& score : scores) score = std::exp(score - largest);
    const float sum = std::accumulate(scores.begin(), scores.end(), 0.0f);
    for (float& score : scores) score /= sum;
    return scores;
  }

 private:
  @CONSTANTS@
  TfLiteModel* model_ = nullptr;
  TfLiteInterpreter* interpreter_ = nullptr;
};
