for (const view of document.querySelectorAll(".case")) {
  const heat = view.querySelector(".heat"), name = view.querySelector(".hint b");
  const slide = view.querySelector("input[type=range]"), invert = view.querySelector("input[type=checkbox]");
  view.addEventListener("input", (event) => {
    if (event.target === slide) heat.style.opacity = slide.value / 100;
    if (event.target === invert) view.querySelector(".film").classList.toggle("inverted", invert.checked);
    if (event.target.type === "radio") {
      heat.src = event.target.dataset.heat;
      name.textContent = event.target.value;
    }
  });
}
