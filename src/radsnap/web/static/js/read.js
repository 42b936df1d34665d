// Take or choose pictures, send them, and open the reading. One at a time goes to its case; several make a list.
import { Camera } from "/serving/camera.js";
import { Refused, send } from "./api.js";
import { begin, watch } from "./job.js";
import { say } from "./say.js";

const PATIENT = 6; // how often a busy server is asked again

const at = (id) => document.getElementById(id);
const [finder, video, still, idle, scan, stage, progress] = ["finder", "video", "still", "idle", "scan", "stage", "progress"].map(at);
const [open, close, torch, shutter, choose, files, said, live] = ["open", "close", "torch", "shutter", "choose", "files", "said", "live"].map(at);
const [queue, list] = ["queue", "list"].map(at);

// The camera

const camera = new Camera();
camera.addEventListener("state", ({ detail: { state, reason } }) => {
  const on = state === "live";
  finder.classList.toggle("live", on);
  video.hidden = shutter.hidden = close.hidden = !on;
  idle.hidden = on || state === "asking" || !still.hidden;
  torch.hidden = !on || !camera.hasTorch;
  torch.setAttribute("aria-pressed", "false");
  if (reason) say(said, `${reason} You can choose a picture instead.`, "warn");
  else if (on) say(said, "");
  if (on) shutter.focus();
});
open.addEventListener("click", start);
close.addEventListener("click", stop);
torch.addEventListener("click", async () => {
  const on = torch.getAttribute("aria-pressed") !== "true";
  if (await camera.torch(on)) torch.setAttribute("aria-pressed", String(on));
});
shutter.addEventListener("click", async () => {
  shutter.disabled = true;
  const blob = await camera.still();
  shutter.disabled = false;
  if (!blob) {
    say(said, "The camera gave no picture. Choose one instead.", "warn");
    return;
  }
  stop();
  await take([new File([blob], "photo.jpg", { type: blob.type || "image/jpeg" })]);
});

async function start() {
  await camera.start(video);
  camera.wakeLock();
}

function stop() {
  camera.wakeLock(false);
  camera.stop();
}

// Files: chosen, dropped, pasted

choose.addEventListener("click", () => files.click());
files.addEventListener("change", () => {
  take([...files.files]);
  files.value = "";
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take([...event.clipboardData.files]);
});
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    finder.classList.toggle("over", name === "dragover");
    if (name === "drop") take([...event.dataTransfer.files]);
  });
}

// Sending

let busy = false;

async function take(given) {
  if (!given.length || busy) return;
  stop();
  say(said, "");
  busy = true;
  try {
    await (given.length === 1 ? one(given[0]) : several(given));
  } finally {
    busy = false;
  }
}

async function one(file) {
  show(file);
  try {
    const reading = await read(file, (text, share) => {
      stage.textContent = text;
      if (share === undefined) progress.removeAttribute("value");
      else progress.value = share;
    });
    live.textContent = "Read. The result opens.";
    location.assign(reading.case.url);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    show(null);
    say(said, error.sentence);
  }
}

function show(file) {
  if (still.src) URL.revokeObjectURL(still.src);
  still.removeAttribute("src");
  still.hidden = scan.hidden = !file;
  idle.hidden = Boolean(file);
  choose.disabled = Boolean(file);
  if (!file) return;
  live.textContent = "Reading the picture";
  // A browser cannot show DICOM or TIFF: then the frame stays dark.
  still.addEventListener("error", () => { still.hidden = true; }, { once: true });
  still.src = URL.createObjectURL(file);
}

async function several(given) {
  queue.hidden = false;
  const items = given.map(item);
  list.prepend(...items.map(({ row }) => row));
  queue.scrollIntoView({ block: "nearest" });
  const good = items.filter((one) => {
    const large = tooLarge(one.file);
    if (large) fault(one, large);
    return !large;
  });
  for (const batch of batches(good)) await work(batch);
  const failed = items.filter(({ row }) => row.dataset.state === "fault").length;
  live.textContent = failed ? `${items.length - failed} pictures read, ${failed} not` : `${items.length} pictures read`;
}

/** Part pictures into jobs as large as the server takes them. */
function batches(items) {
  const { maxFiles, maxJobBytes } = finder.dataset;
  const parts = [[]];
  let bytes = 0;
  for (const one of items) {
    const more = one.file.size + 1000; // and what a form says beside a file
    const [last] = parts.slice(-1);
    if (last.length && (bytes + more > Number(maxJobBytes) || last.length >= Number(maxFiles))) {
      parts.push([]);
      bytes = 0;
    }
    parts[parts.length - 1].push(one);
    bytes += more;
  }
  return parts[0].length ? parts : [];
}

async function work(items) {
  try {
    const files = items.map(({ file }) => file);
    const told = (text, share) => sending(items, text, share);
    const job = await patiently(told, () => begin(files, (share) => told("Sending", share)));
    await watch(job, (told) => tell(items[told.index], told));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    for (const one of items) if (!["read", "fault"].includes(one.row.dataset.state)) fault(one, error);
  }
}

/** The pictures go one after the other: tell each how much of it is sent. */
function sending(items, text, share) {
  let left = share === undefined ? 0 : share * items.reduce((sum, { file }) => sum + file.size, 0);
  for (const { file, state } of items) {
    const part = Math.min(1, Math.max(0, left / (file.size || 1)));
    left -= file.size;
    state.textContent = share === undefined ? text : part < 1 ? `${text} ${Math.round(part * 100)} %` : "Waiting";
  }
}

function item(file) {
  const row = document.createElement("li");
  const picture = document.createElement("img");
  picture.className = "pic";
  picture.alt = "";
  picture.addEventListener("error", () => { picture.removeAttribute("src"); }, { once: true });
  picture.src = URL.createObjectURL(file);
  const text = document.createElement("div");
  const name = document.createElement("div");
  name.className = "name";
  name.textContent = file.name;
  const state = document.createElement("div");
  state.className = "state";
  state.textContent = "Waiting";
  text.append(name, state);
  row.append(picture, text);
  return { file, row, state };
}

/** Show what became of a job's picture. */
function tell({ file, row, state }, { status, case: read, error }) {
  if (status === "failed") {
    fault({ row, state }, new Refused(0, error));
    return;
  }
  state.textContent = status === "done" ? headline(read) : { waiting: "Waiting", running: "Reading" }[status];
  row.dataset.state = status === "done" ? "read" : "busy";
  if (status !== "done") return;
  const link = document.createElement("a");
  link.className = "btn small";
  link.href = read.url;
  link.textContent = "Open";
  link.setAttribute("aria-label", `Open the reading of ${file.name}`);
  row.append(link);
}

function fault({ row, state }, error) {
  state.textContent = error.sentence;
  state.classList.add("fault");
  row.dataset.state = "fault";
}

/** Send a picture and wait for its reading. */
async function read(file, tell) {
  const large = tooLarge(file);
  if (large) throw large;
  return patiently(tell, () => {
    tell("Sending", 0);
    return send("/api/v1/diagnose", [file], (share) => (share < 1 ? tell("Sending", share) : tell("Reading")));
  });
}

/** A server refuses such a file while it is being sent, and a browser then only knows that the line broke. */
function tooLarge(file) {
  const most = Number(finder.dataset.maxBytes);
  const limit = `it has more than ${Math.floor(most / 1e6)} MB`;
  return file.size > most ? new Refused(413, { message: limit, what_to_do: "make the file smaller first" }) : null;
}

/** Ask a server that is full again when it says so. */
async function patiently(tell, asked) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await asked();
    } catch (error) {
      const full = error.status === 429 || error.status === 503;
      if (!full || tries >= PATIENT) throw error;
      tell("The server is busy; waiting");
      await new Promise((go) => setTimeout(go, 1000 * Math.min(30, error.retryAfterS || 2)));
    }
  }
}

/** In a few words what a case says. */
function headline({ xray, assessed, likely, possible }) {
  if (!xray) return "Not an x-ray";
  if (!assessed) return "Not assessed";
  const [word, named] = likely.length ? ["likely", likely] : ["possible", possible];
  if (!named.length) return "Nothing likely";
  return named.length > 2 ? `${named.length} findings ${word}` : `${named.join(", ")} ${word}`;
}

if (new URLSearchParams(location.search).has("camera")) start();
