import { ask } from "./api.js";
import { Film } from "./film.js";
import { say } from "./say.js";

const page = document.getElementById("case");
const said = document.getElementById("said");
const picture = page.querySelector(".film");
const film = new Film(picture);
film.ready.catch(() => say(said, "The picture could not be shown. Reload the page."));

const address = `/api/v1/cases/${page.dataset.id}`;
const [opacity, level, window_] = ["opacity", "level", "window"].map((id) => document.getElementById(id));
const [invert, straighten, outline] = ["invert", "straighten", "outline"].map((id) => document.getElementById(id));
const pressed = (button) => button?.getAttribute("aria-pressed") === "true";
const straight = () => pressed(straighten);
const badge = page.querySelector(".badge.finding");

function tell(slider, text) {
  document.querySelector(`output[for="${slider.id}"]`).textContent = text;
}

function tone() {
  // Brighter means a lower level; more contrast a narrower window: 50 leaves the picture as it is.
  const window = 2 ** ((50 - window_.value) / 16);
  film.tone({ level: 1 - level.value / 100, window, inverted: pressed(invert) });
  tell(level, level.value);
  tell(window_, window_.value);
}

async function heat(input) {
  if (!input) return;
  try {
    const found = await film.heat(input.dataset.heat + (straight() ? "?straightened=true" : ""));
    if (found === undefined) return;
    const where = found ? input.dataset.inside : "no place stands out";
    badge.textContent = where ? `${input.value}: ${where}` : input.value;
  } catch {
    say(said, `The heat map of ${input.value} could not be loaded. Choose it again.`);
  }
}

/** Show the x-ray alone, straight, or the photo again; the heat map goes with it. */
async function straightened() {
  const wanted = !straight();
  straighten.disabled = true;
  try {
    await film.picture(wanted ? straighten.dataset.image : picture.dataset.image);
    straighten.setAttribute("aria-pressed", String(wanted));
    outline.disabled = wanted;
    outlined();
    await heat(page.querySelector('input[name="finding"]:checked'));
  } catch {
    say(said, "The picture could not be straightened. Try again.");
  } finally {
    straighten.disabled = false;
  }
}

function outlined() {
  picture.querySelector(".outline").toggleAttribute("hidden", straight() || !pressed(outline));
}

function fade() {
  film.opacity(opacity.value / 100);
  tell(opacity, `${opacity.value} %`);
}

level.addEventListener("input", tone);
window_.addEventListener("input", tone);
invert.addEventListener("click", () => {
  invert.setAttribute("aria-pressed", String(!pressed(invert)));
  tone();
});
if (straighten) {
  straighten.addEventListener("click", straightened);
  outline.addEventListener("click", () => {
    outline.setAttribute("aria-pressed", String(!pressed(outline)));
    outlined();
  });
}
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
