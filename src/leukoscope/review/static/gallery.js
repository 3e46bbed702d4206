// The gallery of a case: cells are chosen, dragged and called by mouse, touch or keys; others' changes come by themselves.
import { Choice } from "./choice.js";
import { help, listen } from "./keys.js";
import { get, post } from "./sending.js";
import { give, Stage } from "./stage.js";

const LOOK_EVERY = 3000;
const root = document.getElementById("gallery");
const grid = document.getElementById("grid");
const part = (id) => document.getElementById(id);
const address = `/cases/${root.dataset.case}`;
const choice = new Choice();
const view = { tab: root.dataset.tab, order: root.dataset.order, photograph: root.dataset.photograph, apart: root.dataset.apart };
let version = Number(root.dataset.version);
let pending = 0;
let queue = Promise.resolve();
let isOutdated = false;

const isReadOnly = () => "readOnly" in root.dataset;
const query = (more = {}) => new URLSearchParams({ ...view, ...more }).toString();
const cells = (num) => (num === 1 ? "1 cell" : `${num.toLocaleString("en")} cells`);

const stage = new Stage(grid, part("canvas"), (ids) => get(`${address}/tiles?cells=${ids.join(",")}`), (tile) => {
  const id = Number(tile.dataset.cell);
  give(tile, "aria-selected", choice.chosen.has(id));
  tile.classList.toggle("here", id === choice.here);
});

// What is seen

function paint() {
  stage.draw();
  const num = choice.meant().length;
  if (part("what")) part("what").textContent = choice.chosen.size > 1 ? `Call ${cells(num)}` : "Call this cell";
  for (const button of root.querySelectorAll("[data-call], #look, #all")) button.disabled = !num;
  part("none").hidden = !choice.chosen.size;
  part("nothing").hidden = choice.ids.length > 0;
  part("nothing").textContent = emptiness();
  if (choice.here === null) grid.removeAttribute("aria-activedescendant");
  else grid.setAttribute("aria-activedescendant", `cell-${choice.here}`);
}

function emptiness() {
  const where = view.photograph ? ` in photograph ${view.photograph}` : "";
  const others = isReadOnly() ? "" : " Go to another tab, or drag cells here.";
  return `No cell is called ${view.tab}${where}.${others}`;
}

function say(words) {
  part("said").textContent = words;
}

function wrong(error) {
  part("wrong").hidden = !error;
  part("wrong").textContent = error?.message ?? "";
}

function goTo(id, how) {
  if (id !== null && id !== undefined) choice.goTo(id, how);
  reveal();
}

function reveal() {
  if (choice.here !== null) {
    stage.show(choice.here);
    grid.scrollIntoView({ block: "nearest" });
  }
  paint();
}

// The grid takes the height that is left beside what stands around it.
function fit() {
  const around = grid.getBoundingClientRect().top + scrollY + root.querySelector(".calls").offsetHeight + 8;
  root.style.setProperty("--around", `${Math.round(around)}px`);
}

// How the case stands, as the server drew it; the pieces keep focus and whether they are open.
function stand(after) {
  const holder = document.createElement("template");
  holder.innerHTML = after.standing;
  const focused = document.activeElement?.id;
  for (const fresh of [...holder.content.children]) {
    const old = part(fresh.id);
    for (const open of old.querySelectorAll("details[open]")) fresh.querySelector(`#${open.id}`)?.setAttribute("open", "");
    old.replaceWith(fresh);
  }
  photographs();
  if (focused && document.activeElement?.id !== focused) part(focused)?.focus({ preventScroll: true });
  if (part("approve")) part("approve").disabled = !(view.apart ? (after.parts[view.apart] ?? [0, 0]) : after.counts[view.tab])[1];
  root.dataset.state = after.state;
  if (after.state === "signed") root.dataset.readOnly = "";
}

// The table of photographs is long where there are many: it comes while it is open.
async function photographs() {
  if (!part("by-photograph")?.open) return;
  try {
    part("photographs").innerHTML = await get(`${address}/photographs?${query()}`);
  } catch (error) {
    wrong(error);
  }
}

// The list as it is now at the server, the place on the screen kept.
async function fetchList({ focus = null, forget = true } = {}) {
  const found = await get(`${address}/order?${query()}`);
  version = found.version;
  const isHere = new Set(found.cells);
  const kept = [choice.here, stage.first()].find((id) => isHere.has(id));
  if (forget) stage.forget();
  stage.keeping(kept, () => {
    stage.setIds(found.cells);
    choice.follow(found.cells);
  });
  if (focus !== null && isHere.has(focus)) goTo(focus);
  else paint();
}

// What is done. Steps are sent one after another; the page does not wait for them.

function enqueue(step) {
  pending += 1;
  queue = queue.then(async () => {
    try {
      wrong(null);
      await step();
    } catch (error) {
      wrong(error);
      isOutdated = true;
    }
    pending -= 1;
    if (pending || !isOutdated) return;
    isOutdated = false;
    try {
      await fetchList();
      const now = await get(`${address}/standing?${query({ version: -1 })}`);
      stand(now);
    } catch (error) {
      wrong(error);
    }
  });
  return queue;
}

// Where others were here too, the version stays behind: the next look sees that, and fetches the list once for all.
function take(after) {
  if (after.version === version + 1) version = after.version;
  stand(after);
}

function call(decision) {
  const which = choice.meant();
  if (!which.length || isReadOnly()) return;
  const next = choice.behind(which);
  const wasIn = view.tab;
  if (decision !== wasIn) leave(which, next);
  else stage.forget(which);
  choice.chosen.clear();
  goTo(next ?? choice.here);
  grid.focus({ preventScroll: true });
  if (which.length > 200) say(`Calling ${cells(which.length)} ${decision} …`);
  enqueue(async () => {
    take(await post(`${address}/decisions`, { ...view, decision, cells: which.join(",") }));
    say(`${cells(which.length)} ${decision === wasIn ? "confirmed as" : "called"} ${decision}.`);
    stage.forget(which);
    paint();
  });
}

function leave(which, next) {
  const gone = new Set(which);
  const kept = [next, stage.first()].find((id) => id !== undefined && id !== null && !gone.has(id));
  const left = choice.ids.filter((id) => !gone.has(id));
  const isSeen = kept !== undefined && stage.tiles.get(kept)?.isConnected;
  stage.keeping(isSeen ? kept : undefined, () => {
    stage.setIds(left);
    choice.follow(left);
  });
}

function approve() {
  say("Approving …");
  enqueue(async () => {
    const after = await post(`${address}/approvals`, view);
    take(after);
    stage.forget();
    say(after.cells.length ? `${cells(after.cells.length)} approved in bulk as ${view.apart && view.apart !== "others" ? view.apart : view.tab}.` : "No cell of this tab was waiting.");
    paint();
  });
}

function undo() {
  if (isReadOnly()) return;
  enqueue(async () => {
    const after = await post(`${address}/undo`, view);
    if (!after.action_id) return say("There is no step of yours to take back.");
    take(after);
    await fetchList({ focus: after.cells.find((id) => stage.places.has(id)) ?? after.cells[0] });
    const now = Object.entries(after.now).map(([name, num]) => `${num.toLocaleString("en")} ${name}`).join(", ");
    say(`Taken back for ${cells(after.cells.length)}; now again: ${now}.`);
  });
}

// Another view of the same case, without losing the page.
function change(what) {
  Object.assign(view, "tab" in what && !("apart" in what) ? { apart: "" } : {}, what);
  history.replaceState(null, "", `${address}?${query()}`);
  localStorage.setItem("order", view.order);
  part("order").value = view.order;
  if (part("photograph")) part("photograph").value = view.photograph;
  for (const tab of root.querySelectorAll(".tab")) {
    if (tab.dataset.tab === view.tab) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
  grid.setAttribute("aria-label", `Cells called ${view.tab}`);
  choice.chosen.clear();
  choice.here = null;
  stage.setIds([]);
  choice.follow([]);
  stage.draw();
  grid.scrollTop = 0;
  grid.focus({ preventScroll: true });
  enqueue(async () => {
    await fetchList({ forget: false });
    stand(await get(`${address}/standing?${query({ version: -1 })}`));
  });
}

function look() {
  if (choice.here === null) return;
  history.replaceState(null, "", `${address}?${query({ cell: choice.here })}`);
  location.assign(`${address}/cells/${choice.here}?${query()}`);
}

// Keys

const ACTS = {
  left: (event) => choice.step(-1, event.shiftKey),
  right: (event) => choice.step(1, event.shiftKey),
  up: (event) => choice.step(-stage.columns, event.shiftKey),
  down: (event) => choice.step(stage.columns, event.shiftKey),
  choose: () => choice.here !== null && choice.toggle(choice.here),
  choose_all: () => choice.all(),
};
const DONE = { look, undo, help };

listen(JSON.parse(root.dataset.keys), (action, event) => {
  if (action in DONE) DONE[action]();
  else if (action in ACTS) {
    ACTS[action](event);
    grid.focus({ preventScroll: true });
    reveal();
  } else if (action.endsWith("_tab")) change({ tab: action.slice(0, -4) });
  else call(action);
});
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  choice.chosen.clear();
  paint();
});

// Mouse and touch

grid.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  const id = Number(tile.dataset.cell);
  const isAdding = event.ctrlKey || event.metaKey || event.pointerType === "touch";
  if (isAdding && !choice.chosen.size && choice.here !== null && event.pointerType !== "touch") choice.chosen.add(choice.here);
  if (isAdding) choice.toggle(id);
  else if (!event.shiftKey) choice.chosen.clear();
  goTo(id, { extend: event.shiftKey });
});
grid.addEventListener("dblclick", (event) => event.target.closest(".tile") && look());
grid.addEventListener("focus", () => choice.here === null && choice.ids.length && goTo(choice.ids[0]));

let isDragging = false;
grid.addEventListener("dragstart", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile || isReadOnly()) return event.preventDefault();
  const id = Number(tile.dataset.cell);
  if (!choice.chosen.has(id)) choice.chosen.clear();
  goTo(id);
  isDragging = true;
  part("ghost").textContent = cells(choice.meant().length);
  event.dataTransfer.setDragImage(part("ghost"), 0, 0);
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", "cells");
});
addEventListener("dragend", () => {
  isDragging = false;
  for (const tab of root.querySelectorAll(".tab.over")) tab.classList.remove("over");
});
const tabUnder = (event) => isDragging && event.target.closest?.(".tab");
root.addEventListener("dragover", (event) => {
  const tab = tabUnder(event);
  for (const one of root.querySelectorAll(".tab.over")) if (one !== tab) one.classList.remove("over");
  if (!tab) return;
  event.preventDefault();
  tab.classList.add("over");
});
root.addEventListener("drop", (event) => {
  const tab = tabUnder(event);
  if (!tab) return;
  event.preventDefault();
  tab.classList.remove("over");
  call(tab.dataset.tab);
});

root.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const link = event.target.closest(".tab, .subtab, [data-photograph]");
  if (link && link !== root) {
    event.preventDefault();
    if (link.matches(".subtab")) return change({ apart: link.dataset.part });
    return change(link.matches(".tab") ? { tab: link.dataset.tab } : { photograph: link.dataset.photograph });
  }
  const button = event.target.closest("[data-call]");
  if (button) call(button.dataset.call);
});
const on = (id, what) => part(id)?.addEventListener("click", what);
on("undo", undo);
on("approve", approve);
on("keys", help);
on("look", look);
on("all", () => { choice.chosen = new Set(choice.ids); paint(); grid.focus({ preventScroll: true }); });
on("none", () => { choice.chosen.clear(); paint(); grid.focus({ preventScroll: true }); });
part("order").addEventListener("change", (event) => change({ order: event.target.value }));
part("photograph")?.addEventListener("change", (event) => change({ photograph: event.target.value }));
const size = part("size");
size.value = localStorage.getItem("thumbnail") ?? size.value;
size.addEventListener("input", () => {
  stage.setSize(Number(size.value));
  localStorage.setItem("thumbnail", size.value);
});

// What others do

async function watch() {
  const isSending = part("drop")?.hasAttribute("data-sending"); // loading the page anew would break it off
  if (!document.hidden && !pending && !isDragging && !isSending) {
    try {
      const after = await get(`${address}/standing?${query({ version })}`);
      if (after && !pending) {
        const wasOpen = !isReadOnly();
        if (after.state === "running" || after.state === "new") return location.reload();
        stand(after);
        await fetchList();
        say(wasOpen && after.state === "signed" ? "The case was signed just now: it is read-only." : "Somebody changed this case; this is how it is now.");
      }
    } catch (error) {
      wrong(error);
    }
  }
  setTimeout(watch, LOOK_EVERY);
}

root.addEventListener("toggle", photographs, true);
addEventListener("resize", fit);
root.addEventListener("toggle", fit, true);

// Begin: the server has drawn the first tiles.
fit();
stage.size = Number(size.value);
const asked = new URLSearchParams(location.search);
if (!asked.has("order")) view.order = localStorage.getItem("order") ?? view.order;
if (![...part("order").options].some((one) => one.value === view.order)) view.order = root.dataset.order;
part("order").value = view.order;
await enqueue(() => fetchList({ forget: false }));
if (part("approve")) part("approve").disabled = !(root.querySelector(".subtab[aria-current]") ?? root.querySelector(".tab[aria-current]")).textContent.includes("to review");
const begin = Number(root.dataset.cell);
if (stage.places.has(begin)) {
  choice.goTo(begin);
  stage.centre(begin);
  grid.focus({ preventScroll: true });
} else if (choice.ids.length) choice.goTo(choice.ids[0]);
paint();
setTimeout(watch, LOOK_EVERY);
