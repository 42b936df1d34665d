// Two pictures that zoom and move together.
import { Film } from "./film.js";

const films = [...document.querySelectorAll(".film")].map((frame) => new Film(frame));
const linked = document.getElementById("linked");
const invert = document.getElementById("invert");
const pressed = (button) => button.getAttribute("aria-pressed") === "true";

for (const film of films) {
  film.addEventListener("view", (event) => {
    if (!pressed(linked)) return;
    for (const other of films) if (other !== film) other.look(event.detail, true);
  });
}
for (const button of [linked, invert]) {
  button.addEventListener("click", () => button.setAttribute("aria-pressed", String(!pressed(button))));
}
linked.addEventListener("click", () => pressed(linked) && films[1].look(films[0].view, true));
invert.addEventListener("click", () => films.forEach((film) => film.tone({ inverted: pressed(invert) })));
document.getElementById("whole").addEventListener("click", () => films.forEach((film) => film.whole()));
