// Which cells are chosen, and which one the keys are about; the order is that of the list.
export class Choice {
  constructor() {
    this.ids = [];
    this.chosen = new Set();
    this.here = null;
    this.anchor = null;
  }

  // The list is another one now; who is no longer in it is no longer chosen.
  follow(ids) {
    const place = this.ids.indexOf(this.here);
    const known = new Set(ids);
    for (const id of this.chosen) if (!known.has(id)) this.chosen.delete(id);
    this.ids = ids;
    if (!known.has(this.here)) this.here = ids[Math.min(Math.max(place, 0), ids.length - 1)] ?? null;
    if (!known.has(this.anchor)) this.anchor = this.here;
  }

  goTo(id, { extend = false } = {}) {
    if (extend) {
      const [from, to] = [this.ids.indexOf(this.anchor ?? id), this.ids.indexOf(id)].sort((a, b) => a - b);
      for (const one of this.ids.slice(Math.max(from, 0), to + 1)) this.chosen.add(one);
    } else this.anchor = id;
    this.here = id;
  }

  step(by, extend) {
    if (!this.ids.length) return;
    const place = this.here === null ? 0 : this.ids.indexOf(this.here) + by;
    this.goTo(this.ids[Math.max(0, Math.min(this.ids.length - 1, place))], { extend });
  }

  toggle(id) {
    if (!this.chosen.delete(id)) this.chosen.add(id);
  }

  all() {
    if (this.chosen.size === this.ids.length) this.chosen.clear();
    else this.chosen = new Set(this.ids);
  }

  // The cells that a decision is about: all that are chosen, else the one that the keys are about.
  meant() {
    if (this.chosen.size) return this.ids.filter((id) => this.chosen.has(id));
    return this.here === null ? [] : [this.here];
  }

  // Who comes after these, else before them.
  behind(which) {
    const gone = new Set(which);
    const last = this.ids.indexOf(which.at(-1));
    return this.ids.slice(last + 1).find((id) => !gone.has(id)) ?? this.ids.slice(0, last).findLast((id) => !gone.has(id)) ?? null;
  }
}
