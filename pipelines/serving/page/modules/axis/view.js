/** The part of a video's time that the axis shows, and what is where in it. */

const SHORTEST_S = 1;
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** From `from` to `to` seconds of `duration`, drawn `width` pixels wide. Immutable. */
export class View {
  constructor(duration, width, from = 0, to = duration) {
    Object.assign(this, { duration, width, from, to });
    Object.freeze(this);
  }

  /** Seconds per pixel. */
  get scale() {
    return (this.to - this.from) / Math.max(1, this.width);
  }

  get isWhole() {
    return this.to - this.from >= this.duration - 1e-6;
  }

  /** Pixels from the left edge; outside of the view it is negative or beyond `width`. */
  x(seconds) {
    return (seconds - this.from) / this.scale;
  }

  /** Seconds at a pixel, within the video. */
  time(x) {
    return Math.min(this.duration, Math.max(0, this.from + x * this.scale));
  }

  shows(start, end) {
    return end > this.from && start < this.to;
  }

  /** The same with other ends, pushed into the video. */
  at(from, to) {
    const length = Math.min(this.duration, Math.max(Math.min(SHORTEST_S, this.duration), to - from));
    const start = Math.min(Math.max(0, from), this.duration - length);
    return new View(this.duration, this.width, start, start + length);
  }

  /** Closer (factor < 1) or farther, `seconds` staying where it is. */
  zoomed(factor, seconds = (this.from + this.to) / 2) {
    const length = Math.max(SHORTEST_S, (this.to - this.from) * factor);
    const share = (seconds - this.from) / (this.to - this.from);
    return this.at(seconds - share * length, seconds + (1 - share) * length);
  }

  /** Closer or farther with a time in the middle; with the middle staying where it is while that time is not in view. */
  zoomedAround(factor, seconds) {
    const length = (this.to - this.from) * factor;
    const middle = seconds < this.from || seconds > this.to ? (this.from + this.to) / 2 : seconds;
    return this.at(middle - length / 2, middle + length / 2);
  }

  moved(seconds) {
    return this.at(this.from + seconds, this.to + seconds);
  }

  sized(width) {
    return new View(this.duration, width, this.from, this.to);
  }

  /** Round times, at least `apart` pixels from each other: {step, times}. */
  ticks(apart) {
    const step = STEPS_S.find((one) => one / this.scale >= apart) ?? STEPS_S.at(-1);
    const times = [];
    for (let i = Math.ceil(this.from / step - 1e-9); i * step <= this.to + 1e-9; i += 1) times.push(i * step);
    return { step, times };
  }
}

/**
 * One value per column of pixels: the largest of the clips in it, or NaN where there is none.
 * @param {View} view
 * @param {ArrayLike<number>} values one per clip of `clip_s` seconds
 */
export function columns(view, values, clip_s) {
  const n = Math.max(1, Math.round(view.width));
  const found = new Float32Array(n);
  for (let x = 0; x < n; x += 1) {
    const first = Math.floor((view.from + (x / n) * (view.to - view.from)) / clip_s + 1e-9);
    const last = Math.max(first, Math.ceil((view.from + ((x + 1) / n) * (view.to - view.from)) / clip_s - 1e-9) - 1);
    let most = NaN;
    for (let i = first; i <= last && i < values.length; i += 1) if (!(values[i] <= most)) most = values[i];
    found[x] = most;
  }
  return found;
}

/**
 * Rows for windows, so that none lies on another: the row of each; earlier ones of the list stand higher.
 * @param {{start_s: number, end_s: number}[]} windows
 * @param {number} [least_s] shorter ones are drawn as long as this
 */
export function packed(windows, least_s = 0) {
  const taken = [];
  const missing = ({ start_s, end_s }) => Math.max(0, least_s - (end_s - start_s)) / 2;
  const [from, to] = [(one) => one.start_s - missing(one), (one) => one.end_s + missing(one)];
  const meets = (a, b) => from(a) < to(b) - 1e-6 && from(b) < to(a) - 1e-6;
  return windows.map((one) => {
    let row = taken.findIndex((others) => !others.some((other) => meets(one, other)));
    if (row < 0) row = taken.push([]) - 1;
    taken[row].push(one);
    return row;
  });
}
