// From a detector's raw outputs to boxes: the same as newnet_tf/detection/postprocess.py, for the decoder
// that site.json describes. Pure functions, without a browser: `tests/test_web_detect.py` runs them in
// node.

/** The anchors, map by map, row by row, cell by cell: Float32Array of center x, y, width, height. */
export function makeAnchors(maps) {
  const values = [];
  for (const { size, anchors } of maps) {
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        for (const [width, height] of anchors) {
          values.push((column + 0.5) / size, (row + 0.5) / size, width, height);
        }
      }
    }
  }
  return Float32Array.from(values);
}

/** Every pair of anchor and class whose score exceeds the threshold, the highest score first. */
function candidatesOf(logits, decoder, threshold) {
  const { classes, background, score_function: scoreFunction, top_k: topK } = decoder;
  const columns = classes + background;
  const found = [];
  for (let anchor = 0; anchor * columns < logits.length; anchor++) {
    const row = logits.subarray(anchor * columns, (anchor + 1) * columns);
    let score;
    if (scoreFunction === "sigmoid") {
      score = (logit) => 1 / (1 + Math.exp(-logit));
    } else {
      const most = row.reduce((a, b) => Math.max(a, b));
      const sum = row.reduce((total, logit) => total + Math.exp(logit - most), 0);
      score = (logit) => Math.exp(logit - most) / sum;
    }
    for (let label = 0; label < classes; label++) {
      const value = score(row[background + label]);
      if (value > threshold) found.push({ anchor, label, score: value });
    }
  }
  found.sort((a, b) => b.score - a.score || a.label - b.label || a.anchor - b.anchor);
  return found.slice(0, topK);
}

/** A box in fractions of the image, clipped to it: [x1, y1, x2, y2]. */
function decodeBox(code, anchors, anchor, decoder) {
  const at = (place) => code[4 * anchor + decoder.code_order[place]];
  const [x, y, width, height] = anchors.subarray(4 * anchor, 4 * anchor + 4);
  const centerX = (at(0) / decoder.center_scale) * width + x;
  const centerY = (at(1) / decoder.center_scale) * height + y;
  const grown = (value) => Math.exp(Math.min(value / decoder.side_scale, decoder.max_side_code));
  const halfX = (grown(at(2)) * width) / 2;
  const halfY = (grown(at(3)) * height) / 2;
  const corners = [centerX - halfX, centerY - halfY, centerX + halfX, centerY + halfY];
  return corners.map((value) => Math.min(Math.max(value, 0), 1));
}

function area([x1, y1, x2, y2]) {
  return Math.max(x2 - x1, 0) * Math.max(y2 - y1, 0);
}

function overlap(a, b) {
  const common = area([
    Math.max(a[0], b[0]),
    Math.max(a[1], b[1]),
    Math.min(a[2], b[2]),
    Math.min(a[3], b[3]),
  ]);
  return common / (area(a) + area(b) - common);
}

/**
 * Returns the detections of an image, the highest score first: { label, score, box }, the box in
 * fractions of the model's input.
 *
 * outputs: { boxes, scores }, Float32Arrays. anchors: of makeAnchors. decoder: that of site.json.
 */
export function detect(outputs, anchors, decoder, threshold = decoder.score_threshold) {
  const kept = [];
  for (const { anchor, label, score } of candidatesOf(outputs.scores, decoder, threshold)) {
    const box = decodeBox(outputs.boxes, anchors, anchor, decoder);
    const { iou_threshold: most } = decoder;
    const isCovered = kept.some((other) => other.label === label && overlap(other.box, box) > most);
    if (area(box) > 0 && !isCovered) kept.push({ label, score, box });
    if (kept.length === decoder.max_detections) break;
  }
  return kept;
}

/** A box of the model's input in pixels of the image, by the plans of its two axes (planAxis). */
export function toPixels(box, x, y, size) {
  return box.map((value, place) => {
    const axis = place % 2 ? y : x;
    return axis.start + ((axis.offset + value * size) * axis.extent) / axis.length;
  });
}
