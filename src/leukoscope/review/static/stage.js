// A long list of cells of which only those are drawn that can be seen. The server draws the tiles, in stretches.
const GAP = 4;
const ROWS_AROUND = 3;
const AT_ONCE = 60;
const MOST_REQUESTS = 2;

// An attribute that has its value already is left alone: setting it again costs a frame part of its time.
export function give(tile, name, value) {
  const text = String(value);
  if (tile.getAttribute(name) !== text) tile.setAttribute(name, text);
}

export class Stage {
  // box scrolls; canvas in it is as high as all rows; fetchTiles(ids) gives their HTML.
  constructor(box, canvas, fetchTiles, decorate) {
    Object.assign(this, { box, canvas, fetchTiles, decorate });
    this.ids = [];
    this.places = new Map();
    this.tiles = new Map();
    this.stale = new Set();
    this.asked = new Set();
    this.size = 100;
    for (const tile of canvas.querySelectorAll(".tile")) this.tiles.set(Number(tile.dataset.cell), tile);
    box.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.keeping(this.first(), () => this.measure())).observe(box);
  }

  measure() {
    const width = this.box.clientWidth - 2 * GAP;
    this.columns = Math.max(1, Math.floor((width + GAP) / (this.size + GAP)));
    this.row = (width - GAP * (this.columns - 1)) / this.columns + GAP;
    this.canvas.style.gridTemplateColumns = `repeat(${this.columns}, 1fr)`;
    this.canvas.style.gridAutoRows = `${this.row - GAP}px`;
  }

  setSize(size) {
    this.keeping(this.first(), () => {
      this.size = size;
      this.measure();
    });
  }

  setIds(ids) {
    this.ids = ids;
    this.places = new Map(ids.map((id, place) => [id, place]));
  }

  top(id) {
    return Math.floor(this.places.get(id) / this.columns) * this.row;
  }

  // The first cell that is seen whole.
  first() {
    if (!this.columns) return undefined;
    return this.ids[Math.ceil((this.box.scrollTop - GAP) / this.row) * this.columns];
  }

  // Change something so that this cell stays where it is on the screen.
  keeping(id, change) {
    const before = this.places.has(id) && this.columns ? this.top(id) - this.box.scrollTop : null;
    change();
    this.draw();
    if (before !== null && this.places.has(id)) {
      this.box.scrollTop = this.top(id) - before;
      this.draw();
    }
  }

  show(id) {
    const top = this.top(id);
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.row + GAP > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.row + GAP - this.box.clientHeight;
    this.draw();
  }

  centre(id) {
    this.box.scrollTop = this.top(id) - (this.box.clientHeight - this.row) / 2;
    this.draw();
  }

  soon() {
    if (this.waits) return;
    this.waits = requestAnimationFrame(() => {
      this.waits = 0;
      const [start, end] = this.range();
      if (start !== this.start || end !== this.end) this.draw();
    });
  }

  range() {
    const top = Math.max(0, Math.floor(this.box.scrollTop / this.row) - ROWS_AROUND);
    const end = Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.row) + ROWS_AROUND;
    return [top * this.columns, Math.min(end * this.columns, this.ids.length)];
  }

  draw() {
    if (!this.columns) this.measure();
    const rows = Math.ceil(this.ids.length / this.columns);
    this.canvas.style.height = `${Math.max(0, rows * this.row - GAP)}px`;
    const [start, end] = [this.start, this.end] = this.range();
    this.canvas.style.paddingTop = `${Math.floor(start / this.columns) * this.row}px`;
    const wanted = this.ids.slice(start, end).map((id) => this.tile(id));
    const kept = new Set(wanted);
    for (const old of [...this.canvas.children]) if (!kept.has(old)) old.remove();
    let at = this.canvas.firstChild;
    wanted.forEach((tile, number) => {
      if (tile === at) at = at.nextSibling;
      else this.canvas.insertBefore(tile, at);
      give(tile, "aria-posinset", start + number + 1);
      give(tile, "aria-setsize", this.ids.length);
      this.decorate(tile);
    });
    this.load();
  }

  tile(id) {
    const known = this.tiles.get(id);
    if (known) return known;
    const empty = document.createElement("div");
    empty.className = "tile waiting";
    empty.id = `cell-${id}`;
    empty.dataset.cell = id;
    empty.setAttribute("role", "option");
    empty.setAttribute("aria-label", "a cell that is being loaded");
    this.tiles.set(id, empty);
    this.stale.add(id);
    return empty;
  }

  // What these cells show may have changed; all of them where none are named.
  forget(ids = this.tiles.keys()) {
    for (const id of ids) if (this.tiles.has(id)) this.stale.add(id);
  }

  // Ask for the tiles that are seen now; those that were scrolled past are never asked for.
  async load() {
    if (this.asked.size >= MOST_REQUESTS * AT_ONCE) return;
    const [start, end] = this.range();
    const ids = this.ids.slice(start, end).filter((id) => this.stale.has(id) && !this.asked.has(id)).slice(0, AT_ONCE);
    if (!ids.length) return;
    for (const id of ids) this.asked.add(id);
    try {
      const holder = document.createElement("template");
      holder.innerHTML = await this.fetchTiles(ids);
      for (const id of ids) this.stale.delete(id);
      for (const fresh of [...holder.content.querySelectorAll(".tile")]) this.place(fresh);
    } catch {
      await new Promise((wake) => setTimeout(wake, 2000));
    }
    for (const id of ids) this.asked.delete(id);
    this.draw();
  }

  place(fresh) {
    const id = Number(fresh.dataset.cell);
    const old = this.tiles.get(id);
    if (old?.innerHTML === fresh.innerHTML) return;
    this.tiles.set(id, fresh);
    old?.replaceWith(fresh);
  }
}
