// Say something to the person, on the page and to a screen reader (the place has role="alert").
export function say(place, text, css = "fault") {
  place.replaceChildren();
  if (!text) return;
  const told = document.createElement("p");
  told.className = `says ${css}`;
  told.textContent = text;
  place.append(told);
}
