// A case: files dropped are sent one after another; cells are chosen, dragged and called by mouse or keys.
"use strict";

const root = document.getElementById("case");
const address = `/cases/${root.dataset.case}`;
const word = document.body.dataset.csrf;

async function send(path, body) {
  const answer = await fetch(address + path, { method: "POST", body, headers: { "X-CSRF-Token": word } });
  if (answer.ok) return answer.json();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  throw new Error(page.querySelector(".said")?.textContent ?? `the server answered ${answer.status}`);
}

// Files: a few at a time, so that progress moves and one broken connection costs little.
const AT_ONCE = 24;

async function upload(files) {
  const bar = document.getElementById("sent");
  const words = document.getElementById("sent-words");
  bar.hidden = false;
  bar.max = files.length;
  let refused = 0;
  for (let start = 0; start < files.length; start += AT_ONCE) {
    const form = new FormData();
    for (const file of files.slice(start, start + AT_ONCE)) form.append("files", file);
    try {
      refused += (await send("/files", form)).files.filter((file) => file.reason).length;
    } catch (error) {
      words.textContent = `${error.message} ${start} of ${files.length} files were sent; drop the others again.`;
      return;
    }
    bar.value = Math.min(start + AT_ONCE, files.length);
    words.textContent = `${bar.value} of ${files.length} files sent${refused ? `, ${refused} not taken` : ""}.`;
  }
  location.reload();
}

const drop = document.getElementById("drop");
if (drop) {
  const chooser = document.getElementById("files");
  chooser.addEventListener("change", () => upload([...chooser.files]));
  for (const kind of ["dragenter", "dragover"]) {
    addEventListener(kind, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      drop.hidden = false;
      drop.classList.add("over");
    });
  }
  addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.remove("over");
    upload([...event.dataTransfer.files]);
  });
}

// Cells.
const grid = document.getElementById("grid");
const KEYS = { b: "blast", n: "normal", i: "indeterminate", r: "rejected" };
if (grid) {
  const tiles = () => [...grid.querySelectorAll(".tile")];
  const isChosen = (tile) => tile.getAttribute("aria-selected") === "true";
  const chosen = () => tiles().filter(isChosen);
  let here = null;

  const choose = (tile, yes) => tile.setAttribute("aria-selected", yes);
  const tell = () => {
    const num = chosen().length;
    document.getElementById("chosen").textContent = num ? `${num} chosen` : "";
  };
  const goTo = (tile, { extend = false, keep = false } = {}) => {
    if (!tile) return;
    const all = tiles();
    if (extend && here) {
      const [from, to] = [all.indexOf(here), all.indexOf(tile)].sort((a, b) => a - b);
      for (const one of all.slice(from, to + 1)) choose(one, true);
    } else if (!keep) {
      for (const one of chosen()) choose(one, false);
    }
    here?.classList.remove("here");
    here = tile;
    here.classList.add("here");
    here.scrollIntoView({ block: "nearest" });
    grid.setAttribute("aria-activedescendant", here.id);
    tell();
  };

  const columns = () => getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = (by, extend) => {
    const all = tiles();
    const place = here ? all.indexOf(here) + by : 0;
    goTo(all[Math.max(0, Math.min(all.length - 1, place))], { extend });
  };

  const show = (after) => {
    for (const [name, [num, waiting]] of Object.entries(after.counts)) {
      const tab = document.getElementById(`tab-${name}`);
      tab.querySelector("b").textContent = num.toLocaleString("en");
      tab.querySelector("small").textContent = waiting ? `${waiting.toLocaleString("en")} to review` : "";
    }
    const percent = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
    const read = after.differential.after_review;
    document.getElementById("share-after").textContent = percent(read.fraction);
    document.getElementById("interval-after").textContent =
      read.fraction === null ? "" : `(${percent(read.ci_low)} to ${percent(read.ci_high)})`;
    const blocks = document.getElementById("blocks");
    if (after.blocks.length) blocks.textContent = `It cannot be signed yet: ${after.blocks.join("; ")}.`;
    else blocks.innerHTML = `Every cell is settled. <a class="button" href="${address}/sign">Sign</a>`;
    document.getElementById("approve").disabled = !after.counts[root.dataset.tab][1];
  };
  const fail = (error) => {
    document.getElementById("chosen").textContent = error.message;
  };

  async function call(decision) {
    const which = chosen().length ? chosen() : here ? [here] : [];
    if (!which.length) return;
    const form = new FormData();
    form.append("decision", decision);
    for (const tile of which) form.append("cell_ids", tile.dataset.cell);
    const all = tiles();
    const next = all.slice(all.indexOf(which.at(-1)) + 1).find((tile) => !which.includes(tile));
    try {
      show(await send("/decisions", form));
    } catch (error) {
      return fail(error);
    }
    for (const tile of which) {
      if (decision !== root.dataset.tab) tile.remove();
      else if (!tile.querySelector(".seen")) tile.insertAdjacentHTML("beforeend", '<span class="seen" title="reviewed">✓</span>');
      choose(tile, false);
    }
    if (which.includes(here)) here = null;
    goTo(next ?? tiles().at(-1));
    htmx.trigger(grid, "scroll");
  }

  const again = async (path, form) => {
    try {
      await send(path, form ?? new FormData());
      location.reload();
    } catch (error) {
      fail(error);
    }
  };
  const approve = () => {
    const form = new FormData();
    form.append("tab", root.dataset.tab);
    again("/approvals", form);
  };

  grid.addEventListener("click", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    if (event.shiftKey) return goTo(tile, { extend: true });
    if (event.ctrlKey || event.metaKey) choose(tile, !isChosen(tile));
    goTo(tile, { keep: event.ctrlKey || event.metaKey });
    if (!event.ctrlKey && !event.metaKey) choose(tile, true);
    tell();
  });
  grid.addEventListener("dblclick", (event) => {
    const tile = event.target.closest(".tile");
    if (tile) location.assign(`${address}/cells/${tile.dataset.cell}`);
  });
  grid.addEventListener("dragstart", (event) => {
    const tile = event.target.closest(".tile");
    if (!isChosen(tile)) goTo(tile);
    choose(tile, true);
    event.dataTransfer.setData("text/plain", "cells");
  });
  for (const tab of document.querySelectorAll(".tab")) {
    tab.addEventListener("dragover", (event) => { event.preventDefault(); tab.classList.add("over"); });
    tab.addEventListener("dragleave", () => tab.classList.remove("over"));
    tab.addEventListener("drop", (event) => {
      event.preventDefault();
      tab.classList.remove("over");
      call(tab.dataset.tab);
    });
  }

  document.getElementById("undo")?.addEventListener("click", () => again("/undo"));
  document.getElementById("approve")?.addEventListener("click", approve);
  document.getElementById("keys").addEventListener("click", () => document.getElementById("help").showModal());
  document.getElementById("order").addEventListener("change", (event) =>
    location.assign(`${address}?tab=${root.dataset.tab}&order=${event.target.value}`));
  const size = document.getElementById("size");
  const resize = () => grid.style.setProperty("--size", `${size.value}px`);
  size.value = localStorage.getItem("size") ?? size.value;
  resize();
  size.addEventListener("input", () => { resize(); localStorage.setItem("size", size.value); });

  addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    const moves = { arrowright: 1, arrowleft: -1, arrowdown: columns(), arrowup: -columns() };
    if (key in moves) step(moves[key], event.shiftKey);
    else if (key in KEYS) call(KEYS[key]);
    else if (key === " " && here) { choose(here, !isChosen(here)); tell(); }
    else if (key === "a") { for (const tile of tiles()) choose(tile, true); tell(); }
    else if (key === "z") again("/undo");
    else if (key === "enter" && here) location.assign(`${address}/cells/${here.dataset.cell}`);
    else if (key === "?") document.getElementById("help").showModal();
    else if ("1234".includes(key)) document.querySelectorAll(".tab")[key - 1]?.click();
    else return;
    event.preventDefault();
  });
  if (tiles().length) goTo(tiles()[0]);
}
