// Runs the bundle's graph in the browser: pictures in, words out; and window.littoral.run for programs.
import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;

const arrays = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array,
  uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array,
  bool: Uint8Array,
};
const show = (id, text) => { document.getElementById(id).textContent = text; };
const opened = open();

async function open() {
  const manifest = await (await fetch("manifest.json")).json();
  const began = performance.now();
  // Signed int8 stays in integers, as on Arm; else what lies between layers would be computed in floats.
  const extra = { session: { qdqisint8allowed: "1" } };
  const session = await ort.InferenceSession.create("infer.onnx", { executionProviders: ["wasm"], extra });
  return { manifest, session, loadMs: performance.now() - began };
}

function decode(tensor) {
  const bytes = Uint8Array.from(atob(tensor.base64), (letter) => letter.charCodeAt(0));
  return new ort.Tensor(tensor.dtype, new arrays[tensor.dtype](bytes.buffer), tensor.shape);
}

function encode(tensor) {
  const bytes = new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) {
    text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  }
  return { dtype: tensor.type, shape: [...tensor.dims], base64: btoa(text) };
}

// From {name: {dtype, shape, base64}} to outputs of the same form, and the milliseconds of each of `rounds` runs.
async function run(inputs, rounds = 1) {
  const { session, loadMs } = await opened;
  const feeds = Object.fromEntries(Object.entries(inputs).map(([name, tensor]) => [name, decode(tensor)]));
  const times = [];
  let outputs = {};
  for (let round = 0; round < rounds; round += 1) {
    const began = performance.now();
    outputs = await session.run(feeds);
    times.push(performance.now() - began);
  }
  const encoded = Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, encode(tensor)]));
  return { outputs: encoded, times, loadMs, threads: ort.env.wasm.numThreads };
}

// The shorter side becomes `resize`, the middle square of `crop` is taken, and each channel is (value - mean) / std.
function pictureTensor(picture, preprocess) {
  const { resize, crop } = preprocess;
  const scale = resize / Math.min(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(crop, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(crop, crop);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, Math.floor((crop - width) / 2), Math.floor((crop - height) / 2), width, height);
  const pixels = context.getImageData(0, 0, crop, crop).data;
  const values = new Float32Array(3 * crop * crop);
  for (let channel = 0; channel < 3; channel += 1) {
    const mean = preprocess.mean[channel] ?? preprocess.mean[0];
    const std = preprocess.std[channel] ?? preprocess.std[0];
    for (let k = 0; k < crop * crop; k += 1) {
      values[channel * crop * crop + k] = (pixels[4 * k + channel] - mean) / std;
    }
  }
  return new ort.Tensor("float32", values, [1, 3, crop, crop]);
}

function best(scores, labels, count = 5) {
  const largest = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power, k) => [power / total, labels[k] ?? `class ${k}`]).sort((a, b) => b[0] - a[0]).slice(0, count);
}

async function classify(blob) {
  const { manifest, session } = await opened;
  const picture = await createImageBitmap(blob);
  const tensor = pictureTensor(picture, manifest.preprocess);
  const began = performance.now();
  const outputs = await session.run({ [session.inputNames[0]]: tensor });
  const spent = performance.now() - began;
  const rows = best(outputs[session.outputNames[0]].data, manifest.labels ?? []);
  const list = document.getElementById("answers");
  list.replaceChildren(...rows.map(([share, label]) => {
    const row = document.createElement("li");
    row.style.setProperty("--share", share);
    row.textContent = `${label} – ${(100 * share).toFixed(1)} %`;
    return row;
  }));
  const image = document.getElementById("picture");
  image.src = URL.createObjectURL(blob);
  image.hidden = false;
  show("state", `${spent.toFixed(0)} ms on this device`);
  return rows;
}

window.littoral = { opened, run, classify };
if ("serviceWorker" in navigator) navigator.serviceWorker.register("worker.js").catch(() => {});

opened.then(({ manifest, session, loadMs }) => {
  const specs = (list) => list.map((spec) => `${spec.name}: ${spec.dtype}[${spec.shape.join(", ")}]`).join(", ");
  show("title", manifest.name);
  show("about", `${specs(manifest.inputs)} → ${specs(manifest.outputs)}`);
  show("state", `loaded in ${loadMs.toFixed(0)} ms`);
  if (!manifest.preprocess) return;
  const { preprocess, postprocess } = manifest;
  const other = ["kind", "fit", "width", "channels"].some((name) => name in preprocess);
  if (other || (postprocess && postprocess.kind !== "classify")) {
    show("state", "this page answers pictures by class only; programs call window.littoral.run");
    return;
  }
  const input = document.getElementById("file");
  input.disabled = false;
  input.addEventListener("change", () => input.files[0] && classify(input.files[0]).catch((error) => show("state", error.message)));
}).catch((error) => show("state", `the model did not load: ${error.message}`));
