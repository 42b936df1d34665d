// The page on the monitor: shows what the server says, pixel for pixel, and says when it is shown.

const at = (id) => document.getElementById(id);
const picture = at("picture");
let version = 0;
let shown = null;
let wanted = null;
let state = {};

async function post(path, table = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(table),
  });
  if (answer.status === 401) location.assign("/screen/pair");
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function size() {
  // the screen's own pixels: a page that is scaled by the browser would blur the codes
  return {
    width: Math.round(window.innerWidth * window.devicePixelRatio),
    height: Math.round(window.innerHeight * window.devicePixelRatio),
  };
}

let resizing = 0;
async function sized() {
  clearTimeout(resizing);
  resizing = setTimeout(() => keepTrying(() => post("/screen/size", size())), 150);
}

async function keepTrying(what) {
  for (let wait = 200; ; wait = Math.min(wait * 2, 3000)) {
    try {
      return await what();
    } catch {
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

async function show(showing) {
  wanted = showing;
  if (showing === null) {
    picture.hidden = true;
    shown = null;
    return;
  }
  if (showing === shown) return;
  const image = new Image();
  image.src = `/screen/picture/${showing}.png`;
  await image.decode();
  if (wanted !== showing) return;
  picture.style.width = `${image.naturalWidth / window.devicePixelRatio}px`;
  picture.style.height = `${image.naturalHeight / window.devicePixelRatio}px`;
  picture.src = image.src;
  await picture.decode();
  picture.hidden = false;
  shown = showing;
  // two frames: the first may be on its way while the picture is set, the second shows it
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  if (wanted === showing) await post("/screen/shown", { showing });
}

const SAID = {
  waiting: "Waiting for a phone.",
  confirm: "Set this, then go on:",
  paused: "Paused.",
  done: "All is done. Export with: radsnap capture export",
  show: "", settle: "", shoot: "",
};

function words(table) {
  return Object.entries(table ?? {}).map(([name, value]) => `${name}: ${value}`).join(" · ");
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const minutes = Math.ceil(seconds / 60);
  return minutes > 90 ? `${(minutes / 60).toFixed(1)} h left` : `${minutes} min left`;
}

function describe(step) {
  state = step;
  const showing = step.showing !== null;
  document.body.classList.toggle("showing", showing);
  at("panel").hidden = showing;
  at("state").textContent = SAID[step.state] ?? step.state;
  at("condition").hidden = step.state !== "confirm";
  at("condition").textContent = words(step.condition);
  at("trouble").hidden = !step.trouble;
  at("trouble").textContent = step.trouble;
  at("go").hidden = step.state !== "confirm";
  at("resume").hidden = step.state !== "paused";
  const told = `${step.photos} of ${step.wanted} photos · ${step.rate_per_min} a minute ${duration(step.left_s)}`;
  at("progress").textContent = told;
  at("line").hidden = !showing;
  at("line").textContent = [step.trouble, `${step.number}/${step.count}`, told].filter(Boolean).join(" · ");
  at("phones").replaceChildren(
    ...step.phones.map((phone) => {
      const line = document.createElement("li");
      line.textContent = `${phone.name}: ${phone.done} done, ${phone.there ? "there" : "lost"}${phone.battery !== null ? `, battery ${phone.battery} %` : ""}${phone.said ? `, ${phone.said}` : ""}`;
      return line;
    }),
  );
  if (step.state === "waiting" && at("pairing").hidden) pair();
  if (showing) at("pairing").hidden = true;
}

async function pair() {
  at("pairing").hidden = false;
  const made = await keepTrying(() => post("/screen/code"));
  at("code").textContent = made.code;
  at("where").textContent = made.address;
  const drawn = new DOMParser().parseFromString(made.svg, "image/svg+xml").documentElement;
  at("qr").replaceChildren(document.importNode(drawn, true));
}

async function command(name) {
  try {
    follow(await post("/screen/command", { command: name }));
  } catch {
    // the next step says where things stand
  }
}

function follow(step) {
  if (step.version < version && step.version > 1) return;
  version = step.version;
  describe(step);
  show(step.showing).catch(() => {
    shown = null;
    setTimeout(() => wanted === step.showing && !shown && follow(state), 500);
  });
}

document.addEventListener("click", (event) => {
  const name = event.target.closest?.("[data-command]")?.dataset.command;
  if (name) command(name);
});
at("full").addEventListener("click", () => document.documentElement.requestFullscreen?.().catch(() => undefined));
at("add").addEventListener("click", pair);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const names = { ArrowLeft: "back", r: "redo", s: "skip", Enter: "go" };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // as the page writes them, and Caps Lock
  if (key === " ") {
    event.preventDefault();
    command(state.state === "paused" ? "resume" : "pause");
  } else if (key === "f") {
    if (document.fullscreenElement) document.exitFullscreen();
    else at("full").click();
  } else if (key === "p") {
    command("pause").then(pair);
  } else if (key in names && event.target.tagName !== "BUTTON") {
    command(names[key]);
  } else if (key === "Enter" && state.state === "confirm" && event.target.id !== "go") {
    command("go");
  }
});
window.addEventListener("resize", sized);
setInterval(() => !at("pairing").hidden && pair(), 8 * 60 * 1000); // a code ends after ten minutes

async function run() {
  await keepTrying(() => post("/screen/size", size()));
  for (let fault = 0; ; ) {
    try {
      const answer = await fetch(`/screen/step?after=${version}&wait=20`);
      if (answer.status === 401) return location.assign("/screen/pair");
      if (!answer.ok) throw new Error(answer.status);
      if (fault) {
        // the server was away: it does not know this screen's size any more, and counts versions anew
        fault = 0;
        version = 0;
        await post("/screen/size", size());
        continue;
      }
      follow(await answer.json());
    } catch {
      fault += 1;
      at("state").textContent = "The server does not answer; trying again.";
      await new Promise((done) => setTimeout(done, Math.min(200 * 2 ** fault, 2000)));
    }
  }
}

window.radsnap = { state: () => ({ ...state, shown }) };
run();
