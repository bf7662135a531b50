// The picture before and after, with a divider between, zoom and pan.

import { byId } from "./dom.js";

const MOST = 64; // screen pixels per pixel of the picture
const MARGIN = 16;

export class View {
  constructor() {
    this.stage = byId("stage");
    this.canvas = byId("canvas");
    this.divider = byId("divider");
    this.before = null;
    this.after = null;
    this.share = 0.5; // of the stage's width that shows the picture before
    this.scale = 1; // CSS pixels per pixel of the picture before
    this.left = 0;
    this.top = 0;
    this.isFitted = true;
    this.pointers = new Map();
    this.isDrawn = true;
    this.listen();
    this.divide(0.5);
  }

  /** Show pictures; null for none. Another size of `before` fits the view again. */
  show(before, after) {
    const isNew = before?.width !== this.before?.width || before?.height !== this.before?.height;
    this.before = before;
    this.after = after;
    for (const id of ["divider", "label-before", "label-after"]) byId(id).hidden = !after;
    this.stage.tabIndex = before ? 0 : -1;
    if (isNew) this.fit();
    this.draw();
  }

  listen() {
    const { stage, divider } = this;
    new ResizeObserver(() => (this.isFitted ? this.fit() : this.draw())).observe(stage);
    stage.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.pressed(event));
    stage.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    stage.addEventListener("dblclick", (event) => { if (event.target === this.canvas) this.fit(); });
    stage.addEventListener("keydown", (event) => this.typed(event));
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) this.divide(this.at(event).x / stage.clientWidth);
    });
    divider.addEventListener("keydown", (event) => this.dividerTyped(event));
    byId("zoom-in").addEventListener("click", () => this.zoom(1.5));
    byId("zoom-out").addEventListener("click", () => this.zoom(1 / 1.5));
    byId("zoom-fit").addEventListener("click", () => this.fit());
    byId("zoom-one").addEventListener("click", () => this.zoom(1 / window.devicePixelRatio / this.scale));
  }

  at(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  // Divider

  divide(share) {
    this.share = Math.min(Math.max(share, 0), 1);
    const percent = Math.round(100 * this.share);
    this.divider.style.setProperty("left", `${100 * this.share}%`);
    this.divider.setAttribute("aria-valuenow", percent);
    this.divider.setAttribute("aria-valuetext", `${percent} % before, ${100 - percent} % after`);
    this.draw();
  }

  dividerTyped(event) {
    const step = event.shiftKey ? 0.1 : 0.02;
    const shares = {
      ArrowLeft: this.share - step,
      ArrowDown: this.share - step,
      ArrowRight: this.share + step,
      ArrowUp: this.share + step,
      PageDown: this.share - 0.1,
      PageUp: this.share + 0.1,
      Home: 0,
      End: 1,
    };
    if (!(event.key in shares)) return;
    this.divide(shares[event.key]);
    event.preventDefault();
    event.stopPropagation();
  }

  // Zoom and pan

  fit() {
    if (!this.before) return;
    const { clientWidth, clientHeight } = this.stage;
    const across = (clientWidth - 2 * MARGIN) / this.before.width;
    const down = (clientHeight - 2 * MARGIN) / this.before.height;
    this.scale = Math.min(Math.max(Math.min(across, down), 1e-4), MOST);
    this.left = (clientWidth - this.before.width * this.scale) / 2;
    this.top = (clientHeight - this.before.height * this.scale) / 2;
    this.setFitted(true);
    this.draw();
  }

  setFitted(isFitted) {
    this.isFitted = isFitted;
    this.stage.classList.toggle("is-fitted", isFitted); // one finger scrolls the page then
  }

  zoom(factor, { x, y } = { x: this.stage.clientWidth / 2, y: this.stage.clientHeight / 2 }) {
    if (!this.before) return;
    const scale = Math.min(Math.max(this.scale * factor, 0.01), MOST);
    this.left = x - (x - this.left) * (scale / this.scale);
    this.top = y - (y - this.top) * (scale / this.scale);
    this.scale = scale;
    this.setFitted(false);
    this.pan(0, 0);
  }

  /** Move the picture, but never out of sight. */
  pan(across, down) {
    if (!this.before) return;
    const { clientWidth, clientHeight } = this.stage;
    const keep = 48;
    const [width, height] = [this.before.width * this.scale, this.before.height * this.scale];
    this.left = Math.min(Math.max(this.left + across, keep - width), clientWidth - keep);
    this.top = Math.min(Math.max(this.top + down, keep - height), clientHeight - keep);
    if (across || down) this.setFitted(false);
    this.draw();
  }

  wheeled(event) {
    if (!this.before) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), this.at(event));
  }

  pressed(event) {
    if (!this.before || event.target !== this.canvas || event.button !== 0) return;
    this.pointers.set(event.pointerId, this.at(event));
    this.canvas.setPointerCapture(event.pointerId);
    this.stage.focus({ preventScroll: true });
  }

  moved(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const now = this.at(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const apart = (point) => Math.max(Math.hypot(point.x - other.x, point.y - other.y), 1);
      this.zoom(apart(now) / apart(last), { x: (last.x + other.x) / 2, y: (last.y + other.y) / 2 });
      this.pan((now.x - last.x) / 2, (now.y - last.y) / 2);
    } else if (!this.isFitted || event.pointerType === "mouse") {
      this.pan(now.x - last.x, now.y - last.y);
    }
  }

  typed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.before) return;
    const actions = {
      "+": () => this.zoom(1.5),
      "=": () => this.zoom(1.5),
      "-": () => this.zoom(1 / 1.5),
      0: () => this.fit(),
      ArrowLeft: () => this.pan(40, 0),
      ArrowRight: () => this.pan(-40, 0),
      ArrowUp: () => this.pan(0, 40),
      ArrowDown: () => this.pan(0, -40),
    };
    if (!(event.key in actions)) return;
    actions[event.key]();
    event.preventDefault();
  }

  // Drawing

  draw() {
    if (!this.isDrawn) return;
    this.isDrawn = false;
    requestAnimationFrame(() => {
      this.isDrawn = true;
      this.paint();
    });
  }

  paint() {
    const { canvas, stage, before, after } = this;
    const density = window.devicePixelRatio;
    const width = Math.round(stage.clientWidth * density);
    const height = Math.round(stage.clientHeight * density);
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    byId("zoom-level").value = before ? `${Math.round(100 * this.scale * density)} %` : "–";
    if (!before) return;
    const edge = after ? this.share * width : width;
    this.paintOne(context, before, 0, edge, density);
    if (after) this.paintOne(context, after, edge, width - edge, density);
  }

  paintOne(context, picture, from, length, density) {
    const [left, top, width, height] = this.placeOf(picture).map((each) => each * density);
    context.save();
    context.beginPath();
    context.rect(from, 0, length, context.canvas.height);
    context.clip();
    context.imageSmoothingEnabled = width / picture.width < 2; // larger pixels are shown as squares
    context.imageSmoothingQuality = "high";
    context.drawImage(picture.source, left, top, width, height);
    context.restore();
  }

  /** Where a picture stands: in the place of the one before, as large as fits where its shape is another. */
  placeOf(picture) {
    const width = this.before.width * this.scale;
    const height = this.before.height * this.scale;
    const fitting = Math.min(width / picture.width, height / picture.height);
    const isSameShape = Math.abs(picture.width / picture.height / (width / height) - 1) < 0.01;
    const [own, down] = isSameShape ? [width, height] : [picture.width * fitting, picture.height * fitting];
    return [this.left + (width - own) / 2, this.top + (height - down) / 2, own, down];
  }
}
