// The worker that runs the model: one reply to each message. A classic worker, since the wasm builds'
// scripts are loaded with importScripts.
"use strict";

const MAX_THREADS = 4;
const models = new Map(); // file name -> compiled model
let site, core, decoder, preprocess, converter, detector;
let anchors; // of a detector
let threads = 1;

const commands = { start, load, predict };

self.onmessage = async ({ data: { id, command, argument } }) => {
  try {
    self.postMessage({ id, value: await commands[command](argument) });
  } catch (error) {
    self.postMessage({ id, error: error.message || String(error) });
  }
};

/** Loads the engine, with threads where the page is cross-origin isolated. */
async function start(description) {
  site = description;
  [preprocess, converter, detector, decoder, core] = await Promise.all([
    import("./preprocess.js"),
    import("./outputs.js"),
    import("./detect.js"),
    import("./decode.js"),
    import(`./${site.engine.folder}/core.js`),
  ]);
  if (site.decoder) anchors = detector.makeAnchors(site.decoder.maps);
  const fast = await core.supportsFeature("relaxedSimd");
  const several = self.crossOriginIsolated && navigator.hardwareConcurrency > 1 && fast;
  if (several && (await core.supportsFeature("threads"))) {
    try {
      await core.loadLiteRt(`${site.engine.folder}/`, { threads: true });
      threads = Math.min(MAX_THREADS, navigator.hardwareConcurrency);
    } catch (error) {
      console.warn("Threads did not start; one thread is used.", error);
    }
  }
  if (threads === 1) await core.loadLiteRt(`${site.engine.folder}/`);
  const build = threads > 1 ? "_threaded" : fast ? "" : "_compat";
  const stem = `${site.engine.folder}/litert_wasm${build}_internal`;
  return { threads, files: [`${site.engine.folder}/core.js`, `${stem}.js`, `${stem}.wasm`] };
}

/** Downloads and compiles a model, and runs it once, so that the first image takes no longer. */
async function load({ file, bytes }) {
  if (models.has(file)) return;
  const data = await download(file, bytes);
  const model = await core.loadAndCompile(data, {
    accelerator: "wasm",
    cpuOptions: { numThreads: threads },
  });
  models.set(file, model);
  const { resize } = site.preprocess;
  const blank = new Uint8ClampedArray(resize * resize * 4);
  await run(file, preprocess.crop(blank, resize, resize, site.preprocess));
}

async function download(file, bytes) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`The model's file is not there (${file}).`);
  const data = new Uint8Array(bytes);
  const reader = response.body.getReader();
  let read = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (read + value.length <= bytes) data.set(value, read);
    read += value.length;
    self.postMessage({ progress: read / bytes });
  }
  if (read !== bytes) {
    throw new Error(`The model's file came with ${read} bytes, not ${bytes}. Load the page again.`);
  }
  return data;
}

/**
 * Runs the model on an image, a Blob or an ImageBitmap. Returns times in milliseconds, and the scores
 * of the classes, or of a detector the detections with boxes in pixels.
 */
async function predict({ image, file }) {
  const begin = performance.now();
  const bitmap = image instanceof Blob ? await decoder.decode(image) : image;
  const { data, width, height } = decoder.pixelsOf(bitmap);
  bitmap.close();
  const decoded = performance.now();
  const pixels = preprocess.crop(data, width, height, site.preprocess);
  const prepared = performance.now();
  const { outputs, milliseconds } = await run(file, pixels);
  const times = { decode: decoded - begin, prepare: prepared - decoded, model: milliseconds };
  return { ...results(outputs, file, width, height), times, width, height };
}

async function run(file, pixels) {
  const description = describe(file);
  const { image_size: size, channels } = site.preprocess;
  const begin = performance.now();
  const values = description.expects_uint8_pixels
    ? preprocess.rounded(pixels)
    : preprocess.normalize(pixels, site.preprocess);
  const input = new core.Tensor(values, [1, size, size, channels]);
  const tensors = await models.get(file).run([input]);
  const outputs = {};
  for (const [place, tensor] of tensors.entries()) {
    outputs[description.outputs[place]] = Float32Array.from(await tensor.data());
    tensor.delete();
  }
  const milliseconds = performance.now() - begin;
  input.delete();
  return { outputs, milliseconds };
}

/** What the page shows: { scores } of the classes, or { detections }. */
function results(outputs, file, width, height) {
  if (!site.decoder) {
    const [scores] = Object.values(outputs);
    return { scores: converter.probabilities(scores, site.task, describe(file).output_type) };
  }
  const x = preprocess.planAxis(width, height, site.preprocess);
  const y = preprocess.planAxis(height, width, site.preprocess);
  const { image_size: size } = site.preprocess;
  const detections = detector.detect(outputs, anchors, site.decoder);
  return {
    detections: detections.map((each) => ({ ...each, box: detector.toPixels(each.box, x, y, size) })),
  };
}

const describe = (file) => site.models.find((model) => model.file === file);
