// The page on the phone: asks what to do, takes the photo, hands it to the outbox.

import { Camera } from "/static/camera.js";
import { Outbox } from "/static/outbox.js";

const at = (id) => document.getElementById(id);
const camera = new Camera();
const outbox = new Outbox();
let step = { version: 0, state: "waiting", ticket: null };
let taken = sessionStorage.getItem("taken"); // the ticket that was answered with a photo last
let busy = false;

const SAID = {
  waiting: "Waiting for the screen.",
  confirm: "Waiting for the operator.",
  show: "Next picture …",
  settle: "Hold still …",
  shoot: "Waiting for other phones …",
  paused: "Paused.",
  done: "All is done. Thank you.",
};

camera.addEventListener("state", ({ detail }) => {
  const live = detail.state === "live";
  at("start").hidden = live;
  at("torch").hidden = !live || !camera.hasTorch;
  at("lock").hidden = !live;
  at("pick").hidden = !["refused", "absent", "insecure", "failed"].includes(detail.state);
  if (detail.reason) say(detail.reason);
  if (live) act();
});
outbox.addEventListener("change", ({ detail }) => {
  at("outbox").hidden = detail.size === 0;
  at("outbox").textContent = `${detail.size} photo(s) on the way ${detail.trouble}`;
});
outbox.addEventListener("answer", ({ detail }) => {
  const good = ["good", "double", "part"].includes(detail.state);
  at("verdict").className = good ? "good" : "bad";
  if (good) at("verdict").textContent = detail.number === null ? "✓" : `✓ ${detail.number + 1}`;
  else if (detail.said) at("verdict").textContent = detail.said;
});

function say(text) {
  at("state").textContent = text;
}

function describe() {
  at("name").textContent = step.name;
  at("count").textContent = `${step.number} of ${step.count}`;
  const left = step.left_s ? ` · ${Math.ceil(step.left_s / 60)} min left` : "";
  at("left").textContent = `${step.rate_per_min} a minute${left}`;
  const due = step.ticket && step.ticket !== taken;
  say(due ? "Taking the photo …" : (step.trouble || SAID[step.state] || step.state));
  if (step.good === false) {
    at("verdict").className = "bad";
    at("verdict").textContent = step.said;
  }
  at("shoot").hidden = !due || at("auto").checked || camera.state !== "live";
}

// Take the photo that is due, unless a person presses the button.
async function act(pressed = false) {
  const ticket = step.ticket;
  if (!ticket || busy || ticket === taken || outbox.has(ticket)) return;
  if (camera.state !== "live" || !(at("auto").checked || pressed)) return;
  busy = true;
  try {
    const blob = await camera.still();
    if (blob === null) {
      at("pick").hidden = false;
    } else if (step.ticket === ticket) {
      await give(ticket, blob); // else the picture changed meanwhile: this photo is of no use
    }
  } finally {
    busy = false;
  }
  if (step.ticket && step.ticket !== taken) setTimeout(act, 100);
}

async function give(ticket, blob) {
  taken = ticket;
  sessionStorage.setItem("taken", ticket);
  await outbox.add(ticket, blob);
}

function follow(told) {
  step = told;
  describe();
  act();
}

// A WebSocket where the phone allows one (iPhones refuse it with a certificate of our own), else long polling.
function listen() {
  return new Promise((done) => {
    let socket;
    let opened = false;
    try {
      socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/phone/socket`);
    } catch {
      return done(false);
    }
    const alive = setInterval(() => socket.readyState === 1 && socket.send("."), 5000);
    const early = setTimeout(() => !opened && socket.close(), 3000);
    socket.onmessage = (event) => {
      opened = true;
      follow(JSON.parse(event.data));
    };
    socket.onclose = socket.onerror = () => {
      clearInterval(alive);
      clearTimeout(early);
      done(opened);
    };
  });
}

async function poll() {
  const answer = await fetch(`/phone/step?after=${step.version}&wait=10`, { signal: AbortSignal.timeout(20000) });
  if (answer.status === 401) return location.assign("/pair");
  if (!answer.ok) throw new Error(answer.status);
  follow(await answer.json());
}

async function run() {
  let sockets = 2; // so often a socket may fail before polling serves for good
  for (let wait = 250; ; ) {
    try {
      if (sockets > 0) {
        if (await listen()) sockets = 2;
        else sockets -= 1;
        step.version = 0;
      }
      await poll();
      wait = 250;
    } catch {
      say("The server does not answer; photos are kept and sent later.");
      step.version = 0; // a server that was started again counts anew
      await new Promise((done) => setTimeout(done, wait));
      wait = Math.min(wait * 2, 4000);
    }
  }
}

async function introduce() {
  const told = { browser: navigator.userAgent, camera: camera.settings?.label, ...size() };
  try {
    Object.assign(told, await navigator.userAgentData?.getHighEntropyValues(["model", "platformVersion"]));
    delete told.brands;
  } catch {
    // not told
  }
  try {
    const battery = await navigator.getBattery?.();
    if (battery) told.battery = Math.round(battery.level * 100);
  } catch {
    // not told
  }
  await fetch("/phone/device", { method: "POST", body: JSON.stringify(told) }).catch(() => undefined);
}

function size() {
  const settings = camera.settings;
  return settings ? { camera_width: settings.width, camera_height: settings.height } : {};
}

async function start() {
  if (await camera.start(at("preview"))) {
    await camera.wakeLock(true);
    await introduce();
    setInterval(introduce, 5 * 60 * 1000); // the battery
  }
}

at("start").addEventListener("click", start);
at("shoot").addEventListener("click", () => act(true));
at("auto").addEventListener("change", () => {
  describe();
  act();
});
at("torch").addEventListener("click", async () => {
  const on = at("torch").getAttribute("aria-pressed") !== "true";
  at("torch").setAttribute("aria-pressed", String((await camera.torch(on)) && on));
});
at("lock").addEventListener("click", async () => {
  const on = at("lock").getAttribute("aria-pressed") !== "true";
  await camera.lock(on);
  at("lock").setAttribute("aria-pressed", String(on));
});
at("file").addEventListener("change", async () => {
  const [file] = at("file").files;
  at("file").value = "";
  if (file && step.ticket) await give(step.ticket, file);
});
// a camera that another app took away, or a phone that slept
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && camera.state === "lost") start();
});

window.radsnap = { state: () => ({ ...step, taken, waiting: outbox.size, camera: camera.state }) };
await outbox.open();
// taken, but lost before it was kept: it will be asked for again
if (!outbox.has(taken)) taken = null;
start();
run();
