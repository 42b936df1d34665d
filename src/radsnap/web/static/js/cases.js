// Choose two cases to look at side by side.
const grid = document.getElementById("grid");
const tray = document.getElementById("tray");
const picked = document.getElementById("picked");
const compare = document.getElementById("compare");
const chosen = () => [...(grid?.querySelectorAll("input:checked") ?? [])];

function update() {
  const count = chosen().length;
  tray.hidden = count === 0;
  compare.disabled = count !== 2;
  picked.textContent = { 1: "Choose one more to compare", 2: "Two chosen" }[count] ?? `${count} chosen, two can be compared`;
}

if (grid) {
  grid.addEventListener("change", update);
  compare.addEventListener("click", () => {
    const [left, right] = chosen().map((box) => encodeURIComponent(box.value));
    location.assign(`/compare?left=${left}&right=${right}`);
  });
  document.getElementById("none").addEventListener("click", () => {
    for (const box of chosen()) box.checked = false;
    update();
  });
  update(); // boxes stay checked when one comes back to the page
}
