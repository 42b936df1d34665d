// Take or choose pictures, send them, and open the reading. One at a time goes to its case; several make a list.
import { Camera } from "/serving/camera.js";
import { Refused, send } from "./api.js";
import { say } from "./say.js";

const AT_ONCE = 2;
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
  const waiting = items.slice();
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  const failed = items.filter(({ row }) => row.dataset.state === "fault").length;
  live.textContent = failed ? `${items.length - failed} pictures read, ${failed} not` : `${items.length} pictures read`;
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

async function work({ file, row, state }) {
  row.dataset.state = "busy";
  try {
    const reading = await read(file, (text, share) => {
      state.textContent = share === undefined ? text : `${text} ${Math.round(share * 100)} %`;
    });
    state.textContent = headline(reading);
    const link = document.createElement("a");
    link.className = "btn small";
    link.href = reading.case.url;
    link.textContent = "Open";
    link.setAttribute("aria-label", `Open the reading of ${file.name}`);
    row.append(link);
    row.dataset.state = "read";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    state.textContent = error.sentence;
    state.classList.add("fault");
    row.dataset.state = "fault";
  }
}

/** Send a file and wait for its reading; a server that is full is asked again when it says so. */
async function read(file, tell) {
  const most = Number(finder.dataset.maxBytes);
  // A server refuses such a file while it is being sent, and a browser then only knows that the line broke.
  if (file.size > most) {
    const limit = `it has more than ${Math.floor(most / 1e6)} MB`;
    throw new Refused(413, { message: limit, what_to_do: "make the file smaller first" });
  }
  for (let tries = 1; ; tries += 1) {
    try {
      tell("Sending", 0);
      return await send("/api/v1/diagnose", file, file.name, (share) => (share < 1 ? tell("Sending", share) : tell("Reading")));
    } catch (error) {
      const full = error.status === 429 || error.status === 503;
      if (!full || tries >= PATIENT) throw error;
      tell("The server is busy; waiting");
      await new Promise((go) => setTimeout(go, 1000 * Math.min(30, error.retryAfterS || 2)));
    }
  }
}

/** In a few words what a reading says. */
function headline({ gate, kind, findings }) {
  if (gate && !gate.passed) return "Not an x-ray";
  if (!findings) return "Not assessed";
  for (const word of ["likely", "possible"]) {
    const named = Object.keys(findings).filter((name) => findings[name].word === word);
    if (named.length) return named.length > 2 ? `${named.length} findings ${word}` : `${named.join(", ")} ${word}`;
  }
  return kind ? "Nothing likely" : "Read";
}

if (new URLSearchParams(location.search).has("camera")) start();
