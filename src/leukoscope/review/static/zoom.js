// A picture that is enlarged about a point, and moved: by wheel, buttons, keys and dragging, two fingers too.
const STEP = 1.25;
const MOST = 24;

export class Zoom {
  // viewer clips; sheet in it holds the pictures in their own size.
  constructor(viewer, sheet, tell) {
    Object.assign(this, { viewer, sheet, tell });
    this.fingers = new Map();
    viewer.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.by(STEP ** (-event.deltaY / 100), this.point(event));
    }, { passive: false });
    viewer.addEventListener("pointerdown", (event) => {
      viewer.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, this.point(event));
    });
    viewer.addEventListener("pointermove", (event) => this.moved(event));
    for (const kind of ["pointerup", "pointercancel"]) viewer.addEventListener(kind, (event) => this.fingers.delete(event.pointerId));
    new ResizeObserver(() => this.fit()).observe(viewer);
  }

  get size() {
    const picture = this.sheet.querySelector("img");
    return [picture.width, picture.height];
  }

  point(event) {
    const box = this.viewer.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  middle() {
    return [this.viewer.clientWidth / 2, this.viewer.clientHeight / 2];
  }

  fit() {
    const [width, height] = this.size;
    this.least = Math.min(this.viewer.clientWidth / width, this.viewer.clientHeight / height);
    this.scale = this.least;
    this.x = (this.viewer.clientWidth - width * this.scale) / 2;
    this.y = (this.viewer.clientHeight - height * this.scale) / 2;
    this.draw();
  }

  by(factor, [x, y] = this.middle()) {
    const before = this.scale;
    this.scale = Math.max(Math.min(this.least, 1), Math.min(MOST, before * factor));
    this.x = x - ((x - this.x) * this.scale) / before;
    this.y = y - ((y - this.y) * this.scale) / before;
    this.draw();
  }

  larger() {
    this.by(STEP);
  }

  smaller() {
    this.by(1 / STEP);
  }

  moved(event) {
    const last = this.fingers.get(event.pointerId);
    if (!last) return;
    const now = this.point(event);
    const other = [...this.fingers.entries()].find(([id]) => id !== event.pointerId)?.[1];
    this.fingers.set(event.pointerId, now);
    if (other) return this.by(distance(now, other) / Math.max(1, distance(last, other)), other);
    this.x += now[0] - last[0];
    this.y += now[1] - last[1];
    this.draw();
  }

  // Some of the picture always stays in sight.
  draw() {
    const [width, height] = this.size.map((side) => side * this.scale);
    const [midX, midY] = this.middle();
    this.x = Math.min(midX, Math.max(midX - width, this.x));
    this.y = Math.min(midY, Math.max(midY - height, this.y));
    this.sheet.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.tell(this.scale);
  }
}

const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
