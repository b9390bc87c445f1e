// From a model's outputs to the probabilities of the classes. Pure functions, without a browser:
// `tests/test_web.py` runs them in node.

/**
 * Returns the probability of each class.
 *
 * outputs: Float32Array, what the model gives for an image.
 * task: "classification" or "multilabel_classification".
 * outputType: "logits", "probabilities" (softmax is done) or "sigmoid" (each class on its own).
 * A classifier with one output gives the second of two classes.
 */
export function probabilities(outputs, task, outputType) {
  const isBinary = task === "classification" && outputs.length === 1;
  let values = outputs;
  if (outputType === "logits") {
    values = isBinary || task !== "classification" ? sigmoid(outputs) : softmax(outputs);
  }
  return isBinary ? Float32Array.of(1 - values[0], values[0]) : values;
}

export function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = Float32Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

export function sigmoid(logits) {
  return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
}

/** Returns the `count` largest scores with their classes, largest first; ties in the order of classes. */
export function topK(scores, count) {
  const order = Array.from(scores, (score, index) => ({ score, index }));
  return order.sort((a, b) => b.score - a.score || a.index - b.index).slice(0, count);
}
