// The worker that holds the network: messages in, one answer each. A classic worker, since the wasm
// builds' scripts are loaded with importScripts.
"use strict";

const MOST_THREADS = 4;
const opened = new Map(); // file name -> compiled model
let site, core, decoder, preprocess;
let threads = 1;

const commands = { start, load, classify };

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
  [preprocess, decoder, core] = await Promise.all([
    import("./preprocess.js"),
    import("./decode.js"),
    import(`./${site.engine.folder}/core.js`),
  ]);
  const fast = await core.supportsFeature("relaxedSimd");
  const several = self.crossOriginIsolated && navigator.hardwareConcurrency > 1 && fast;
  if (several && (await core.supportsFeature("threads"))) {
    try {
      await core.loadLiteRt(`${site.engine.folder}/`, { threads: true });
      threads = Math.min(MOST_THREADS, navigator.hardwareConcurrency);
    } catch (error) {
      console.warn("Threads did not start; going on with one.", error);
    }
  }
  if (threads === 1) await core.loadLiteRt(`${site.engine.folder}/`);
  const build = threads > 1 ? "_threaded" : fast ? "" : "_compat";
  const stem = `${site.engine.folder}/litert_wasm${build}_internal`;
  return { threads, files: [`${site.engine.folder}/core.js`, `${stem}.js`, `${stem}.wasm`] };
}

/** Downloads and compiles a model, and runs it once, so that the first image takes no longer. */
async function load({ file, bytes }) {
  if (opened.has(file)) return;
  const data = await download(file, bytes);
  const model = await core.loadAndCompile(data, {
    accelerator: "wasm",
    cpuOptions: { numThreads: threads },
  });
  opened.set(file, model);
  const { resize } = site.preprocess;
  const blank = new Uint8ClampedArray(resize * resize * 4);
  await run(file, preprocess.crop(blank, resize, resize, site.preprocess));
}

async function download(file, bytes) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`The network's file is not there (${file}).`);
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
    throw new Error(`The network's file came with ${read} bytes, not ${bytes}. Load the page again.`);
  }
  return data;
}

/** Classifies an image, a Blob or an ImageBitmap; says what it took in milliseconds. */
async function classify({ image, file }) {
  const begun = performance.now();
  const bitmap = image instanceof Blob ? await decoder.open(image) : image;
  const { data, width, height } = decoder.pixelsOf(bitmap);
  bitmap.close();
  const decoded = performance.now();
  const pixels = preprocess.crop(data, width, height, site.preprocess);
  const prepared = performance.now();
  const { scores, took } = await run(file, pixels);
  return {
    scores,
    times: { decode: decoded - begun, prepare: prepared - decoded, network: took },
    width,
    height,
  };
}

async function run(file, pixels) {
  const about = site.models.find((model) => model.file === file);
  const { size, channels } = site.preprocess;
  const begun = performance.now();
  const values = about.expects_uint8_pixels ? pixels : preprocess.normalize(pixels, site.preprocess);
  const input = new core.Tensor(values, [1, size, size, channels]);
  const [output] = await opened.get(file).run([input]);
  const found = Float32Array.from(await output.data());
  const took = performance.now() - begun;
  input.delete();
  output.delete();
  const scores = about.output === "probabilities" ? found : preprocess.softmax(found);
  return { scores, took };
}
