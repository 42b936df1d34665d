import { ask } from "./api.js";
import { Film } from "./film.js";
import { say } from "./say.js";

const page = document.getElementById("case");
const said = document.getElementById("said");
const film = new Film(page.querySelector(".film"));
film.ready.catch(() => say(said, "The picture could not be shown. Reload the page."));

const address = `/api/v1/cases/${page.dataset.id}`;
const [opacity, level, window_] = ["opacity", "level", "window"].map((id) => document.getElementById(id));
const invert = document.getElementById("invert");
const badge = page.querySelector(".badge.finding");

function tell(slider, text) {
  document.querySelector(`output[for="${slider.id}"]`).textContent = text;
}

function tone() {
  // Brighter means a lower level; more contrast a narrower window: 50 leaves the picture as it is.
  const window = 2 ** ((50 - window_.value) / 16);
  film.tone({ level: 1 - level.value / 100, window, inverted: invert.getAttribute("aria-pressed") === "true" });
  tell(level, level.value);
  tell(window_, window_.value);
}

async function heat(input) {
  if (!input) return;
  try {
    const found = await film.heat(input.dataset.heat);
    if (found !== undefined) badge.textContent = found ? input.value : `${input.value}: no place stands out`;
  } catch {
    say(said, `The heat map of ${input.value} could not be loaded. Choose it again.`);
  }
}

function fade() {
  film.opacity(opacity.value / 100);
  tell(opacity, `${opacity.value} %`);
}

level.addEventListener("input", tone);
window_.addEventListener("input", tone);
invert.addEventListener("click", () => {
  invert.setAttribute("aria-pressed", String(invert.getAttribute("aria-pressed") !== "true"));
  tone();
});
document.getElementById("whole").addEventListener("click", () => {
  film.whole();
  level.value = window_.value = 50;
  invert.setAttribute("aria-pressed", "false");
  tone();
});
if (opacity) {
  opacity.addEventListener("input", fade);
  page.addEventListener("change", (event) => event.target.name === "finding" && heat(event.target));
  fade();
  heat(page.querySelector('input[name="finding"]:checked'));
}

const verdict = document.getElementById("verdict");
const saved = document.getElementById("saved");
verdict.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(verdict);
  if (!form.get("verdict")) {
    saved.textContent = "Choose agree or disagree first.";
    return;
  }
  saved.textContent = "Saving";
  try {
    await ask("PUT", `${address}/verdict`, { verdict: form.get("verdict"), note: form.get("note") });
    saved.textContent = "Saved.";
  } catch (error) {
    saved.textContent = `Not saved. ${error.sentence}`;
  }
});

const sure = document.getElementById("sure");
document.getElementById("delete").addEventListener("click", () => sure.showModal());
sure.addEventListener("close", async () => {
  if (sure.returnValue !== "yes") return;
  try {
    await ask("DELETE", address);
    location.replace("/cases");
  } catch (error) {
    say(said, error.sentence);
  }
});
