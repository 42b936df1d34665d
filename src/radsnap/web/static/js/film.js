// A picture to look into: zoom, pan, window and level, invert, and a heat map over it.
import { colour } from "./palette.js";

const MOST = 12; // times the size that fits
const KEY_STEP_PX = 48;

/** Where windows lie: 256 output greys for input greys; level and window in [0, 1] of the grey scale. */
export function greys(level, window, inverted) {
  const table = new Uint8ClampedArray(256);
  for (let grey = 0; grey < 256; grey += 1) {
    const share = (grey / 255 - (level - window / 2)) / window;
    table[grey] = 255 * (inverted ? 1 - share : share);
  }
  return table;
}

export class Film extends EventTarget {
  #frame;
  #sheet;
  #picture;
  #heat;
  #source = null; // the picture's own pixels
  #tone = { level: 0.5, window: 1, inverted: false };
  #view = { zoom: 1, x: 0.5, y: 0.5 }; // x, y: the point of the picture in the middle, as shares of its sides
  #pointers = new Map();
  #asked = 0;
  #shown = 0;
  #due = false;

  constructor(frame) {
    super();
    this.#frame = frame;
    this.#sheet = frame.querySelector(".sheet");
    this.#picture = frame.querySelector(".picture");
    this.#heat = frame.querySelector(".heat");
    this.#listen();
    this.ready = this.#load(frame.dataset.image);
  }

  /** zoom: 1 fits; x, y: what is in the middle, as shares of the picture's sides. */
  get view() {
    return { ...this.#view };
  }

  /** Show a part; silent: without telling others. */
  look(view, silent = false) {
    const zoom = Math.min(MOST, Math.max(1, view.zoom));
    // Nobody can move the picture out of its frame.
    const { width, height, shown } = this.#fit(zoom);
    const slackX = Math.min(0.5, width / 2 / shown.width);
    const slackY = Math.min(0.5, height / 2 / shown.height);
    const x = Math.min(1 - slackX, Math.max(slackX, view.x));
    const y = Math.min(1 - slackY, Math.max(slackY, view.y));
    this.#view = { zoom, x, y };
    this.#place();
    if (!silent) this.dispatchEvent(new CustomEvent("view", { detail: this.view }));
  }

  whole() {
    this.look({ zoom: 1, x: 0.5, y: 0.5 });
  }

  /** Show another picture in this one's place, all of it; what was shown stays where it cannot be loaded. */
  async picture(address) {
    const asked = (this.#shown += 1);
    const image = await load(address);
    if (asked !== this.#shown) return;
    this.#take(image);
    this.#draw();
    this.whole();
  }

  /** level and window in [0, 1] of the grey scale; inverted. */
  tone(tone) {
    Object.assign(this.#tone, tone);
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  /** Lay a heat map (address of a grey PNG) over the picture. Whether any place stands out; undefined when late. */
  async heat(address) {
    const asked = (this.#asked += 1);
    const pen = this.#heat.getContext("2d", { willReadFrequently: true });
    const image = await load(address);
    if (asked !== this.#asked) return undefined; // another was asked for meanwhile
    const scale = Math.min(1, 512 / Math.max(image.naturalWidth, image.naturalHeight));
    this.#heat.width = Math.max(1, Math.round(image.naturalWidth * scale));
    this.#heat.height = Math.max(1, Math.round(image.naturalHeight * scale));
    pen.drawImage(image, 0, 0, this.#heat.width, this.#heat.height);
    const pixels = pen.getImageData(0, 0, this.#heat.width, this.#heat.height);
    colour(pixels.data);
    pen.putImageData(pixels, 0, 0);
    this.#heat.dataset.shown = address;
    return pixels.data.some((value, at) => at % 4 === 3 && value > 0);
  }

  opacity(share) {
    this.#heat.style.opacity = share;
  }

  async #load(address) {
    this.#take(await load(address));
    this.#frame.classList.add("drawn");
    new ResizeObserver(() => this.look(this.#view, true)).observe(this.#frame);
    this.look(this.#view, true);
  }

  #take(image) {
    this.#picture.width = image.naturalWidth;
    this.#picture.height = image.naturalHeight;
    const pen = this.#picture.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    this.#source = pen.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
  }

  #draw() {
    if (!this.#source) return;
    const { level, window, inverted } = this.#tone;
    const table = greys(level, window, inverted);
    const from = this.#source.data;
    const to = new ImageData(this.#source.width, this.#source.height);
    for (let at = 0; at < from.length; at += 4) {
      to.data[at] = table[from[at]];
      to.data[at + 1] = table[from[at + 1]];
      to.data[at + 2] = table[from[at + 2]];
      to.data[at + 3] = 255;
    }
    this.#picture.getContext("2d").putImageData(to, 0, 0);
  }

  #fit(zoom) {
    const { clientWidth: width, clientHeight: height } = this.#frame;
    const own = { width: this.#source?.width ?? 1, height: this.#source?.height ?? 1 };
    const scale = Math.min(width / own.width, height / own.height) * zoom;
    return { width, height, scale, shown: { width: own.width * scale, height: own.height * scale } };
  }

  #place() {
    const { zoom, x, y } = this.#view;
    const { width, height, shown } = this.#fit(zoom);
    this.#sheet.style.width = `${shown.width}px`;
    this.#sheet.style.height = `${shown.height}px`;
    this.#sheet.style.transform = `translate(${width / 2 - x * shown.width}px, ${height / 2 - y * shown.height}px)`;
    const badge = this.#frame.querySelector(".badge.zoom");
    badge.textContent = zoom > 1.01 ? `${zoom.toFixed(1)} ×` : "";
    this.#frame.dataset.zoom = zoom.toFixed(2);
    this.#frame.classList.toggle("near", zoom > 1.01); // else a finger scrolls the page
  }

  /** Zoom by a factor, keeping the point at (left, top) of the frame where it is. */
  #zoom(factor, left, top) {
    const before = this.#fit(this.#view.zoom);
    const zoom = Math.min(MOST, Math.max(1, this.#view.zoom * factor));
    const after = this.#fit(zoom);
    const dx = left - before.width / 2;
    const dy = top - before.height / 2;
    this.look({
      zoom,
      x: this.#view.x + dx / before.shown.width - dx / after.shown.width,
      y: this.#view.y + dy / before.shown.height - dy / after.shown.height,
    });
  }

  #move(dx, dy) {
    const { shown } = this.#fit(this.#view.zoom);
    this.look({ ...this.#view, x: this.#view.x - dx / shown.width, y: this.#view.y - dy / shown.height });
  }

  #listen() {
    const frame = this.#frame;
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && this.#view.zoom <= 1 && event.deltaY > 0) return; // let the page scroll on
      event.preventDefault();
      const [left, top] = this.#spot(event);
      this.#zoom(Math.exp(-event.deltaY / (event.deltaMode ? 12 : 320)), left, top);
    }, { passive: false });
    frame.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      frame.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, this.#spot(event));
      frame.classList.add("held");
    });
    frame.addEventListener("pointermove", (event) => this.#dragged(event));
    for (const end of ["pointerup", "pointercancel"]) {
      frame.addEventListener(end, (event) => {
        this.#pointers.delete(event.pointerId);
        frame.classList.toggle("held", this.#pointers.size > 0);
      });
    }
    frame.addEventListener("dblclick", (event) => {
      const [left, top] = this.#spot(event);
      if (this.#view.zoom > 1.01) this.whole();
      else this.#zoom(2.5, left, top);
    });
    frame.addEventListener("keydown", (event) => this.#key(event));
  }

  #dragged(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#spot(event);
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (!other) {
      this.#move(now[0] - before[0], now[1] - before[1]);
      return;
    }
    const [from, to] = [distance(before, other), distance(now, other)];
    const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
    this.#move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    if (from > 4) this.#zoom(to / from, ...middle);
  }

  #key(event) {
    const { clientWidth, clientHeight } = this.#frame;
    const zoom = (factor) => this.#zoom(factor, clientWidth / 2, clientHeight / 2);
    const actions = {
      "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: () => this.whole(),
      ArrowLeft: () => this.#move(KEY_STEP_PX, 0), ArrowRight: () => this.#move(-KEY_STEP_PX, 0),
      ArrowUp: () => this.#move(0, KEY_STEP_PX), ArrowDown: () => this.#move(0, -KEY_STEP_PX),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.startsWith("Arrow") && this.#view.zoom <= 1) return; // the page scrolls
    event.preventDefault();
    action();
  }

  #spot(event) {
    const { left, top } = this.#frame.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }
}

function distance(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}

async function load(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}
