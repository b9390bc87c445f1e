// The page: images from files, drops, the clipboard, the example or the camera go to the worker;
// predictions are shown as bars, detections as boxes too.

import { drawBoxes } from "./boxes.js";
import { Camera } from "./camera.js";
import { topK } from "./outputs.js";
import { Engine, cacheOffline } from "./site.js";

const TOP = 5; // classes
const LISTED = 20; // detections
const at = (id) => document.getElementById(id);
const controls = [at("file"), at("camera"), at("example"), at("models")];

let site, engine, camera;
let requested, current; // models: the requested one, the one in use
let image = null; // the Blob that was predicted last
let latest = null; // its result
let request = 0; // number of the latest request; results of earlier ones are ignored

try {
  await start();
} catch (error) {
  fail(error);
}

async function start() {
  site = await (await fetch("site.json")).json();
  engine = new Engine((share) => progress(share));
  camera = new Camera(at("video"));
  offerModels();
  at("example").hidden = !site.example;
  status("Loading the engine…");
  const { threads, files } = await engine.call("start", site);
  at("engine").textContent = `${threads === 1 ? "1 thread" : `${threads} threads`}.`;
  await use(site.models[0]);
  for (const control of controls) control.disabled = false;
  at("file").onchange = () => at("file").files.length && predict(at("file").files[0]);
  at("camera").onclick = toggleCamera;
  at("example").onclick = example;
  acceptDrops();
  at("lowest").hidden = !site.decoder;
  at("threshold").oninput = () => latest && present(latest);
  at("offline").textContent = await cacheOffline([...site.files, ...files]);
}

function offerModels() {
  for (const model of site.models) {
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "model", id: model.kind, value: model.file });
    input.checked = model === site.models[0];
    input.onchange = () => change(model);
    const label = document.createElement("label");
    label.htmlFor = input.id;
    const size = document.createElement("span");
    size.textContent = `${(model.bytes / 1e6).toFixed(1)} MB`;
    label.append(model.title, size);
    at("models").append(input, label);
  }
  at("models").hidden = site.models.length < 2;
}

/** Switches to another model and predicts the same image again. */
async function change(model) {
  at("models").setAttribute("aria-busy", "true");
  try {
    await use(model);
    if (current === model && image && !camera.on) await predict(image);
  } catch (error) {
    fail(error);
  }
  at("models").setAttribute("aria-busy", "false");
}

async function use(model) {
  requested = model;
  status(`Loading the model (${(model.bytes / 1e6).toFixed(1)} MB)…`);
  await engine.call("load", model);
  if (requested !== model) return; // another was requested meanwhile
  progress(null);
  current = model;
  status(image || camera.on ? "" : "Ready. Choose an image.");
}

async function predict(blob) {
  const number = ++request;
  stopCamera();
  clear();
  status("Running the model…");
  try {
    const result = await engine.call("predict", { image: blob, file: current.file });
    if (number !== request) return;
    image = blob;
    show(blob);
    present(result);
    status("");
  } catch (error) {
    if (number !== request) return;
    image = null;
    stage(null);
    fail(error);
  } finally {
    at("file").value = ""; // the same file may be chosen again
  }
}

async function example() {
  try {
    const response = await fetch(site.example);
    if (!response.ok) throw new Error("The example image is not there.");
    await predict(await response.blob());
  } catch (error) {
    fail(error);
  }
}

async function toggleCamera() {
  if (camera.on) {
    stopCamera();
    return;
  }
  request++;
  clear();
  status("Waiting for the camera…");
  try {
    await camera.start();
  } catch (error) {
    fail(error);
    return;
  }
  status("");
  image = null;
  stage("video");
  at("camera").textContent = "Stop camera";
  at("camera").setAttribute("aria-pressed", "true");
  at("predictions").setAttribute("aria-live", "off"); // a screen reader would read every frame
  watch();
}

/** Predicts the camera's images, frame after frame. */
async function watch() {
  try {
    while (camera.on) {
      const frame = await camera.frame();
      if (!frame) continue;
      const result = await engine.call("predict", { image: frame, file: current.file }, [frame]);
      if (camera.on) present(result);
    }
  } catch (error) {
    stopCamera();
    fail(error);
  }
}

function stopCamera() {
  if (!camera.on) return;
  camera.stop();
  stage(null);
  clear();
  at("camera").textContent = "Camera";
  at("camera").setAttribute("aria-pressed", "false");
  at("predictions").setAttribute("aria-live", "polite");
  status("Camera off.");
}

function acceptDrops() {
  const whole = document.documentElement;
  whole.ondragover = (event) => {
    event.preventDefault();
    whole.classList.add("dragging");
  };
  whole.ondragleave = (event) => event.relatedTarget || whole.classList.remove("dragging");
  whole.ondrop = (event) => {
    event.preventDefault();
    whole.classList.remove("dragging");
    const [file] = event.dataTransfer.files;
    if (file) predict(file);
    else fail(new Error("Drop an image's file, saved on this device."));
  };
  document.onpaste = (event) => {
    const [file] = event.clipboardData.files;
    if (file) predict(file);
  };
}

/** Shows a result: the top classes, or the detections. */
function present(result) {
  latest = result;
  at("error").hidden = true;
  if (result.detections) presentDetections(result);
  else presentRows(topK(result.scores, TOP));
  const { times, width, height } = result;
  const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const facts = [
    `Model ${milliseconds(times.model)}`,
    `resizing ${milliseconds(times.prepare)}`,
    `reading ${milliseconds(times.decode)}`,
    `${width} × ${height} pixels`,
  ];
  at("times").textContent = facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · ");
}

function presentDetections({ detections, width, height }) {
  const lowest = Number(at("threshold").value);
  const shown = detections.filter(({ score }) => 100 * score >= lowest);
  at("lowest-value").textContent = `${lowest} %`;
  at("found").textContent = `${shown.length || "No"} object${shown.length === 1 ? "" : "s"} found`;
  drawBoxes(at("boxes"), shown, site.labels, width, height);
  presentRows(shown.slice(0, LISTED).map(({ label, score }) => ({ index: label, score })));
}

/** Shows classes and scores as bars; existing ones are changed, not replaced. */
function presentRows(rows) {
  const list = at("predictions");
  while (list.children.length < rows.length) list.append(row());
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach(({ score, index }, place) => {
    const [label, value, bar] = list.children[place].children;
    label.textContent = site.labels[index];
    value.value = score;
    value.textContent = `${(100 * score).toFixed(1)} %`;
    bar.firstChild.style.width = `${100 * score}%`;
  });
}

function row() {
  const item = document.createElement("li");
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  bar.append(document.createElement("div"));
  item.append(document.createElement("span"), document.createElement("data"), bar);
  return item;
}

function show(blob) {
  const element = at("image");
  URL.revokeObjectURL(element.src);
  element.src = URL.createObjectURL(blob);
  element.alt = blob.name ? `The chosen image, ${blob.name}` : "The chosen image";
  stage("image");
}

function stage(what) {
  at("image").hidden = what !== "image";
  at("video").hidden = what !== "video";
  at("invitation").hidden = what !== null;
}

function clear() {
  latest = null;
  at("boxes").replaceChildren();
  at("found").textContent = "";
  at("error").hidden = true;
  at("predictions").replaceChildren();
  at("times").textContent = "";
}

function status(text) {
  at("status").textContent = text;
}

function progress(share) {
  at("progress").hidden = share === null;
  if (share !== null) at("progress").value = share;
}

function fail(error) {
  clear();
  status("");
  progress(null);
  at("error").textContent = error.message;
  at("error").hidden = false;
}
