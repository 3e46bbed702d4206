// The page of one cell: zoom, the heat map's slider, and the keys of the gallery on its buttons.
import { help, listen } from "./keys.js";
import { Zoom } from "./zoom.js";

const part = (id) => document.getElementById(id);
const zoom = new Zoom(part("viewer"), part("sheet"), (scale) => {
  part("scale").textContent = `${Math.round(100 * scale)} %`;
});
part("larger").addEventListener("click", () => zoom.larger());
part("smaller").addEventListener("click", () => zoom.smaller());
part("fit").addEventListener("click", () => zoom.fit());
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.key === "+" || event.key === "=") zoom.larger();
  else if (event.key === "-") zoom.smaller();
  else if (event.key === "0") zoom.fit();
  else if (event.key === "Escape") location.assign(part("back").href);
});

// The map is made when it is first asked for; the slider stays where it was from cell to cell.
const slider = part("opacity");
const map = part("map");
function shade() {
  const strength = slider.value / 100;
  if (strength && !map.src) {
    part("map-words").textContent = "making the map …";
    map.src = map.dataset.src;
  }
  map.hidden = !strength;
  map.style.opacity = strength;
  part("picture").style.filter = `grayscale(${strength})`;
  sessionStorage.setItem("map", slider.value);
}
if (slider) {
  map.addEventListener("load", () => { part("map-words").textContent = ""; });
  map.addEventListener("error", () => { part("map-words").textContent = "The map could not be made."; });
  slider.value = sessionStorage.getItem("map") ?? 0;
  slider.addEventListener("input", shade);
  shade();
}

part("keys").addEventListener("click", help);
const go = (id) => part(id) && location.assign(part(id).href);
const ACTS = {
  left: () => go("before"),
  right: () => go("after"),
  look: () => go("back"),
  undo: () => part("undo")?.click(),
  help,
};
listen(JSON.parse(part("cell").dataset.keys), (action) => {
  if (action in ACTS) return ACTS[action]();
  const button = document.querySelector(`[data-call="${action}"]`);
  if (!button) return false;
  button.click();
});
