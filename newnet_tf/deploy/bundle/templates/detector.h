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
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "tensorflow/lite/c/c_api.h"

class Detector {
 public:
  static constexpr std::size_t kSize = @SIZE@;
  static constexpr std::size_t kChannels = @CHANNELS@;
  static constexpr std::size_t kClasses = @CLASSES@;
  static constexpr float kScoreThreshold = @SCORE_THRESHOLD@f;
  using Input = @INPUT_TYPE@;

  // A box in pixels of the image, and the number of its class, in @LABEL_LINES@.
  struct Detection {
    std::size_t label;
    float score, x1, y1, x2, y2;
  };

@INTERPRETER@

  // Returns the detections, the highest score first.
  // `image`: an upright image, `width` * `height` * kChannels bytes, row by row, @PIXELS@.
  std::vector<Detection> Detect(const std::uint8_t* image, std::size_t width, std::size_t height,
                                float min_score = kScoreThreshold) {
    const std::vector<Input> input = Prepare(Resize(image, width, height).data());
    TfLiteTensor* tensor = TfLiteInterpreterGetInputTensor(interpreter_, 0);
    if (TfLiteTensorCopyFromBuffer(tensor, input.data(), input.size() * sizeof(Input)) != kTfLiteOk ||
        TfLiteInterpreterInvoke(interpreter_) != kTfLiteOk) {
      throw std::runtime_error("the input of the file must be that in model.json");
    }
    std::vector<Detection> found = Decode(@BOXES_ARRAY@, @SCORES_ARRAY@, min_score);
    const Axis x = PlanAxis(width, height), y = PlanAxis(height, width);
    for (Detection& detection : found) {
      detection.x1 = ToPixels(detection.x1, x);
      detection.y1 = ToPixels(detection.y1, y);
      detection.x2 = ToPixels(detection.x2, x);
      detection.y2 = ToPixels(detection.y2, y);
    }
    return found;
  }

  // Returns the detections of raw outputs, boxes in fractions of the input: anchors and their codes,
  // scores, then non-maximum suppression within each class.
  static std::vector<Detection> Decode(const std::vector<float>& codes, const std::vector<float>& logits,
                                       float min_score) {
    struct Candidate {
      float score;
      std::size_t label, anchor;
    };
    std::vector<Candidate> candidates;
    for (std::size_t anchor = 0; anchor * kColumns < logits.size(); ++anchor) {
      const float* row = logits.data() + anchor * kColumns;
      @SCORE_SETUP@
      for (std::size_t label = 0; label < kClasses; ++label) {
        const float score = @SCORE@;
        if (score > min_score) candidates.push_back({score, label, anchor});
      }
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return std::tie(b.score, a.label, a.anchor) < std::tie(a.score, b.label, b.anchor);
    });
    candidates.resize(std::min(candidates.size(), kTopK));
    std::vector<Detection> kept;
    for (const Candidate& candidate : candidates) {
      if (kept.size() == kMaxDetections) break;
      const Detection box = Box(codes, candidate.anchor, candidate.label, candidate.score);
      const bool covered = std::any_of(kept.begin(), kept.end(), [&](const Detection& other) {
        return other.label == box.label && Overlap(other, box) > kIouThreshold;
      });
      if (Area(box) > 0.0f && !covered) kept.push_back(box);
    }
    return kept;
  }

@IMAGE@

@RESIZE_FUNCTION@

 private:
  // An anchor: center, width and height in fractions of the image.
  struct Anchor {
    float x, y, width, height;
  };

  static const std::vector<Anchor>& Anchors() {
    struct Map {
      std::size_t size;
      std::vector<std::array<float, 2>> sides;
    };
    static const std::vector<Anchor> anchors = [] {
      const std::vector<Map> maps = {
@MAPS@
      };
      std::vector<Anchor> made;
      for (const Map& map : maps) {
        const double size = static_cast<double>(map.size);
        for (std::size_t cell = 0; cell < map.size * map.size; ++cell) {
          const float x = static_cast<float>((static_cast<double>(cell % map.size) + 0.5) / size);
          const float y = static_cast<float>((static_cast<double>(cell / map.size) + 0.5) / size);
          for (const auto& [width, height] : map.sides) made.push_back({x, y, width, height});
        }
      }
      return made;
    }();
    return anchors;
  }

  // Returns the box of an anchor, clipped to the image.
  static Detection Box(const std::vector<float>& codes, std::size_t number, std::size_t label,
                       float score) {
    const Anchor& anchor = Anchors()[number];
    const float* code = codes.data() + 4 * number;
    const float x = code[@CODE_X@] / @CENTER_SCALE@f * anchor.width + anchor.x;
    const float y = code[@CODE_Y@] / @CENTER_SCALE@f * anchor.height + anchor.y;
    const float half_width = Grown(code[@CODE_WIDTH@]) * anchor.width / 2.0f;
    const float half_height = Grown(code[@CODE_HEIGHT@]) * anchor.height / 2.0f;
    return {label, score, Clipped(x - half_width), Clipped(y - half_height), Clipped(x + half_width),
            Clipped(y + half_height)};
  }

  static float Grown(float code) { return std::exp(std::min(code / @SIDE_SCALE@f, @MAX_SIDE_CODE@f)); }

  static float Clipped(float value) { return std::clamp(value, 0.0f, 1.0f); }

  static float Area(const Detection& box) {
    return std::max(box.x2 - box.x1, 0.0f) * std::max(box.y2 - box.y1, 0.0f);
  }

  static float Overlap(const Detection& a, const Detection& b) {
    const Detection common = {0, 0.0f, std::max(a.x1, b.x1), std::max(a.y1, b.y1),
                              std::min(a.x2, b.x2), std::min(a.y2, b.y2)};
    return Area(common) / (Area(a) + Area(b) - Area(common));
  }

  // Returns a position in pixels of the image for one in fractions of the input.
  static float ToPixels(float fraction, const Axis& axis) {
    const float place = static_cast<float>(axis.offset) + fraction * static_cast<float>(kSize);
    return static_cast<float>(axis.start) +
           place * static_cast<float>(axis.extent) / static_cast<float>(axis.length);
  }

@OUTPUT_FUNCTION@

  static constexpr std::size_t kColumns = kClasses + @BACKGROUND@;
  static constexpr std::size_t kTopK = @TOP_K@;
  static constexpr std::size_t kMaxDetections = @MAX_DETECTIONS@;
  static constexpr float kIouThreshold = @IOU_THRESHOLD@f;
  @CONSTANTS@
  TfLiteModel* model_ = nullptr;
  TfLiteInterpreter* interpreter_ = nullptr;
};
