// Runs the networks of this folder on a picture, in the visitor's browser.
import * as ort from "./ort.wasm.bundle.min.mjs";

ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.wasm.numThreads = 1; // more would need headers that plain web servers do not send

const MOST_BYTES = 64e6;
const MOST_PIXELS = 100e6;
const page = await (await fetch("page.json")).json();
const $ = (id) => document.getElementById(id);
const sessions = {};
let picture = null; // ImageData of what was given
let asked = 0; // how often a result was wished for: only the last one is shown
let done = 0;

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

function session(name) {
  sessions[name] ??= ort.InferenceSession.create(`${name}.onnx`);
  return sessions[name];
}

/** One pass. x: Float32Array of shape [1, 3, H, W] in [0, 1]; c: task vector or null. */
export async function run(name, x, shape, c) {
  const inputs = { x: new ort.Tensor("float32", x, shape) };
  if (c) inputs.c = new ort.Tensor("float32", Float32Array.from(c), [1, c.length]);
  return (await (await session(name)).run(inputs)).y;
}

/** What the controls ask for: a network, and the task vector where it takes one. */
function wish() {
  if (!page.slots) {
    const chosen = document.querySelector("#tasks input:checked");
    const task = page.tasks.find((task) => task.name === chosen.value);
    return { task, network: task.network, c: null };
  }
  const c = new Array(page.slots).fill(0);
  const strength = (task) => Number($(`task ${task.name}`).value);
  for (const task of tasks) for (const slot of task.active) c[slot] += strength(task);
  const wanted = tasks.filter(strength);
  const task = wanted.length === 1 ? wanted[0] : { kind: "image" }; // several make an image
  return { task, network: page.tasks[0].network, c };
}

/** A channel of a pixel of ImageData in [0, 1], laid on white; from: where its four bytes begin. */
function onWhite(data, from, channel) {
  const alpha = data[from + 3] / 255;
  return (data[from + channel] / 255) * alpha + 1 - alpha;
}

/** ImageData -> planes [1, 3, H, W] in [0, 1], reflected at right and bottom to whole multiples. */
export function planes(data, multiple) {
  const [h, w] = [data.height, data.width];
  const [tall, wide] = [h, w].map((side) => Math.ceil(side / multiple) * multiple);
  const x = new Float32Array(3 * tall * wide);
  const inside = (i, n) => { // as a mirror without the edge itself; a single pixel repeats
    if (n === 1) return 0;
    const place = i % (2 * n - 2);
    return place < n ? place : 2 * n - 2 - place;
  };
  for (let channel = 0, to = 0; channel < 3; channel++)
    for (let row = 0; row < tall; row++)
      for (let column = 0; column < wide; column++, to++)
        x[to] = onWhite(data.data, 4 * (inside(row, h) * w + inside(column, w)), channel);
  return { x, shape: [1, 3, tall, wide] };
}

/** The network's output as a picture; what lies beyond the given one's sides is cut off. */
function draw(task, output, given) {
  const [, channels, tall, wide] = output.dims;
  const values = output.data;
  const made = new ImageData(given.width, given.height);
  const at = new Float32Array(channels);
  for (let row = 0; row < given.height; row++)
    for (let column = 0; column < given.width; column++) {
      for (let k = 0; k < channels; k++) at[k] = values[(k * tall + row) * wide + column];
      const to = 4 * (row * given.width + column);
      const colour = PIXEL[task.kind](task, at, given.data, to);
      const alpha = given.data[to + 3] / 255; // the white below is taken away as `predict` does
      const gain = alpha / Math.max(alpha, 0.25) ** 2;
      for (let k = 0; k < 3; k++) {
        const change = Math.min(Math.max(colour[k], 0), 1) - onWhite(given.data, to, k);
        made.data[to + k] = Math.round(given.data[to + k] + 255 * change * gain); // clamps
      }
      made.data[to + 3] = given.data[to + 3];
    }
  return made;
}

const times = (matrix, v) => matrix.map((row) => row.reduce((sum, a, k) => sum + a * v[k], 0));
/** How an output's channels at one pixel become a colour in [0, 1]. */
const PIXEL = {
  image: (task, at) => at,
  classes: (task, at) => task.colours[at.indexOf(Math.max(...at))],
  chroma: (task, at, given, to) => {
    const chroma = at.length === 3 ? times(task.to_ycc, at).slice(1) : at;
    const light = times(task.to_ycc, [0, 1, 2].map((channel) => onWhite(given, to, channel)));
    return times(task.to_rgb, [light[0], chroma[0], chroma[1]]);
  },
};

/** The middle square of a picture at a network's only size. */
function square(data, size) {
  const side = Math.min(data.width, data.height);
  const canvas = new OffscreenCanvas(size, size).getContext("2d");
  canvas.imageSmoothingQuality = "high";
  const [left, top] = [(data.width - side) / 2, (data.height - side) / 2];
  canvas.drawImage(whole(data), left, top, side, side, 0, 0, size, size);
  return canvas.getImageData(0, 0, size, size);
}

function whole(data) {
  const canvas = new OffscreenCanvas(data.width, data.height);
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}

function showLabels(task, scores) {
  const top = Math.max(...scores);
  const all = Array.from(scores, (score) => Math.exp(score - top));
  const sum = all.reduce((a, b) => a + b);
  const order = all.map((_, i) => i).sort((a, b) => all[b] - all[a]).slice(0, 5);
  $("labels").replaceChildren(...order.map((i) => {
    const [line, bar] = [document.createElement("li"), document.createElement("span")];
    bar.style.width = `${(8 * all[i]) / sum}rem`;
    line.append(bar, `${task.classes[i]} ${((100 * all[i]) / sum).toFixed(1)} %`);
    return line;
  }));
}

async function update() {
  if (!picture) return;
  const mine = ++asked;
  const { task, network, c } = wish();
  say("Working ...");
  await new Promise((done) => setTimeout(done, 20)); // lets the page show it, and sliders settle
  if (mine !== asked) return;
  try {
    const began = performance.now();
    const labels = task.kind === "labels";
    const given = labels ? square(picture, page.size) : picture;
    const { x, shape } = planes(given, page.multiple);
    const output = await run(network, x, shape, c);
    if (mine !== asked) return;
    $("labels").hidden = !labels;
    $("view").classList.toggle("single", labels);
    if (labels) showLabels(task, output.data);
    else show("after", draw(task, output, given));
    $("save").hidden = labels;
    if (!labels) $("after").toBlob((blob) => {
      URL.revokeObjectURL($("save").href);
      $("save").href = URL.createObjectURL(blob);
    });
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    say(`${given.width} x ${given.height} pixels in ${seconds} s`);
    document.body.dataset.results = ++done;
  } catch (error) {
    say(`That did not work: ${error.message}`, true);
  }
}

function show(id, data) {
  Object.assign($(id), { width: data.width, height: data.height });
  $(id).getContext("2d").putImageData(data, 0, 0);
}

async function take(file) {
  if (!file) return;
  if (file.size > MOST_BYTES) return say(`${file.name} has over ${MOST_BYTES / 1e6} MB`, true);
  let image;
  try {
    image = await createImageBitmap(file); // turned as the camera says
  } catch {
    return say(`${file.name} is no picture that this browser can read`, true);
  }
  if (image.width * image.height > MOST_PIXELS) return say(`${file.name} is too large`, true);
  const scale = Math.min(1, $("side").value / Math.max(image.width, image.height));
  const [w, h] = [image.width, image.height].map((n) => Math.max(1, Math.round(n * scale)));
  const canvas = new OffscreenCanvas(w, h).getContext("2d");
  canvas.imageSmoothingQuality = "high";
  canvas.drawImage(image, 0, 0, w, h);
  picture = canvas.getImageData(0, 0, w, h);
  picture.file = file;
  show("before", picture);
  $("view").classList.remove("empty");
  await update();
}

function control(task, index) {
  const line = document.createElement("label");
  const input = document.createElement("input");
  if (page.slots) {
    const value = document.createElement("output");
    const first = page.presets[0] ?? [tasks[0].name];
    const value0 = first.includes(task.name) ? 1 : 0;
    Object.assign(input, { type: "range", min: 0, max: 1, step: 0.05, value: value0 });
    input.id = `task ${task.name}`;
    const tell = () => { value.textContent = Number(input.value).toFixed(2); };
    input.addEventListener("input", () => { tell(); update(); });
    tell();
    line.append(Object.assign(document.createElement("span"), { className: "line" }), input);
    line.firstChild.append(task.name, value);
  } else {
    Object.assign(input, { type: "radio", name: "task", value: task.name, checked: !index });
    input.addEventListener("change", update);
    line.append(input, ` ${task.name}`);
    line.className = "choice";
    line.style.display = "block";
  }
  return line;
}

function preset(names) {
  const button = document.createElement("button");
  button.textContent = names.join(" + ") || "nothing";
  button.addEventListener("click", () => {
    for (const task of page.tasks) if (task.active.length) {
      const input = $(`task ${task.name}`);
      input.value = names.includes(task.name) ? 1 : 0;
      input.dispatchEvent(new Event("input"));
    }
  });
  return button;
}

$("title").textContent = document.title = page.title;
const tasks = page.slots ? page.tasks.filter((task) => task.active.length) : page.tasks;
$("tasks").append(...tasks.map(control));
$("presets").append(...page.presets.map(preset));
$("together").hidden = !page.presets.length;
$("side").append(...[128, 256, 384, 512, 768, 1024].map((side) => new Option(side, side)));
$("side").value = 384;
$("side").addEventListener("change", () => picture && take(picture.file));
$("file").addEventListener("change", () => take($("file").files[0]));
$("divide").addEventListener("input", () =>
  $("view").style.setProperty("--divide", `${$("divide").value}%`));
$("sample").addEventListener("click", async () => {
  const blob = await (await fetch("sample.png")).blob();
  take(new File([blob], "sample.png", { type: "image/png" }));
});
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("view").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
try {
  await session((tasks[0] ?? page.tasks[0]).network);
  $("sample").disabled = false;
  say("Ready. Drop a picture, or take the sample.");
} catch (error) {
  say(`The network cannot be loaded: ${error.message}`, true);
}
globalThis.taskfusion = { run, planes }; // for whoever wants to check it
