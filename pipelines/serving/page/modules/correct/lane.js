/** The lane of the time axis on which windows are drawn: an edge or a whole window is dragged, or moved by keys. */

import { fill, h } from "../dom.js";
import { span, spoken } from "../times.js";
import { packed } from "../axis/view.js";

const ROW_PX = 34;
const DRAG_PX = 4;
const STEP_S = 0.1;
const FAR_S = 1;
const PARTS = { start: "start", end: "end", whole: "window" };

/** The lane, while somebody corrects. @param desk a Desk */
export function correctionLane(desk, app) {
  const blocks = new Map();
  let drag = null;
  let wanted = null; // where the player should be
  let rows = [];
  let toFocus = null; // a window that is not drawn yet

  const rowsOf = () => {
    if (!drag?.rows) rows = packed(desk.history?.now.items ?? []);
    return rows;
  };

  function draw(track, view) {
    const items = desk.history?.now.items ?? [];
    const own = rowsOf();
    track.dataset.ownPointer = "";
    track.onpointerdown ??= (event) => begin(event, track);
    const wanted = items.map((item) => {
      if (!blocks.has(item.key)) blocks.set(item.key, newBlock(item.key));
      return blocks.get(item.key);
    });
    for (const key of blocks.keys()) if (!items.some((item) => item.key === key)) blocks.delete(key);
    const there = wanted.map((one) => one.element);
    if (there.length !== track.children.length || there.some((one, i) => one !== track.children[i])) fill(track, there);
    items.forEach((item, i) => drawBlock(wanted[i], item, i, own[i] ?? 0, view));
    if (blocks.has(toFocus)) {
      const { whole } = blocks.get(toFocus);
      toFocus = null;
      whole.focus({ preventScroll: true });
    }
  }

  function newBlock(key) {
    const part = (name, tag, attrs) =>
      h(tag, { class: `fix-${name}`, onkeydown: (event) => nudge(event, key, name), onpointerdown: (event) => grab(event, key, name), onfocus: () => desk.selected !== key && desk.select(key), ...attrs });
    const slider = { role: "slider", tabindex: "0", "aria-orientation": "horizontal" };
    const whole = part("whole", "button", { type: "button", onclick: () => play(key) });
    const [start, end] = [part("start", "span", slider), part("end", "span", slider)];
    return { whole, start, end, element: h("div", { class: "fix" }, whole, start, end) };
  }

  function drawBlock({ whole, start, end, element }, item, i, row, view) {
    const [from, to] = [view.x(item.start_s), view.x(item.end_s)];
    element.style.setProperty("--x", `${from}px`);
    element.style.setProperty("--w", `${Math.max(3, to - from)}px`);
    element.style.setProperty("--row", String(row));
    element.dataset.verdict = item.verdict;
    element.classList.toggle("selected", desk.selected === item.key);
    element.hidden = !view.shows(item.start_s, item.end_s);
    fill(whole, h("span", { class: "clip", "aria-hidden": "true" }, `${{ right: "✓", wrong: "✗", open: "?" }[item.verdict]} ${i + 1}`));
    whole.setAttribute("aria-label", `window ${i + 1}, ${{ right: "right", wrong: "wrong", open: "undecided" }[item.verdict]}, ${span(item.start_s, item.end_s)}`);
    for (const [part, edge, seconds] of [["start", start, item.start_s], ["end", end, item.end_s]]) {
      const now = { label: `${part} of window ${i + 1}`, valuemin: 0, valuemax: view.duration, valuenow: seconds, valuetext: spoken(seconds) };
      for (const [name, value] of Object.entries(now)) edge.setAttribute(`aria-${name}`, String(value));
    }
  }

  function play(key) {
    const item = desk.item(key);
    if (!item || drag?.moved) return;
    desk.select(key);
    app.player.loop(item.start_s, item.end_s);
    app.player.seek(item.start_s);
  }

  function nudge(event, key, part) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const item = desk.item(key);
    const by = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S, PageDown: -10 * STEP_S, PageUp: 10 * STEP_S }[event.key];
    if (by === undefined || !item) return;
    event.preventDefault();
    const far = event.shiftKey && event.key.startsWith("Arrow") ? FAR_S / STEP_S : 1;
    desk.put(key, part, (part === "end" ? item.end_s : item.start_s) + by * far, `${PARTS[part]} ${key}`);
    show(key, part);
  }

  /** The picture at the edge that is moved; the next one is asked for when the last one is there. */
  function show(key, part) {
    const item = desk.item(key);
    wanted = part === "end" ? item.end_s : item.start_s;
    app.player.unloop();
    if (!app.player.element.seeking) goThere();
  }

  function goThere() {
    if (wanted !== null) app.player.seek(wanted);
    wanted = null;
  }
  app.player.element.addEventListener("seeked", goThere);

  function grab(event, key, part) {
    if (event.button !== 0) return;
    event.stopPropagation();
    const handle = event.currentTarget;
    const { start_s, end_s } = desk.item(key);
    const at = part === "end" ? end_s : start_s;
    const kind = `drag ${Date.now()}`;
    follow(event, handle, (seconds) => {
      desk.put(key, part, at + seconds, kind);
      show(key, part);
    });
  }

  /** A window is drawn on the empty lane, or a click goes there. */
  function begin(event, track) {
    if (event.button !== 0 || event.target !== track || !desk.history) return;
    const from = app.axis.view().time(event.clientX - track.getBoundingClientRect().left);
    const kind = `drag ${Date.now()}`;
    let key = null;
    follow(event, track, (seconds) => {
      if (key === null) key = desk.add(from, from + seconds, kind);
      else desk.place(key, from, from + seconds, kind);
    }, () => app.player.seek(from));
  }

  /** Follow a pointer from here on: `act(seconds)` for how far it is. */
  function follow(event, element, act, click = () => {}) {
    const { pointerId, clientX: from } = event;
    const now = (drag = { moved: false, rows: false });
    element.setPointerCapture(pointerId);
    const move = (later) => {
      if (later.pointerId !== pointerId || (!now.moved && Math.abs(later.clientX - from) < DRAG_PX)) return;
      now.moved = now.rows = true;
      act((later.clientX - from) * app.axis.view().scale);
    };
    const end = () => {
      for (const [name, listener] of Object.entries(listeners)) element.removeEventListener(name, listener);
      now.rows = false;
      if (!now.moved) click();
      setTimeout(() => drag === now && (drag = null), 0); // after the click that follows
      app.axis.redraw();
    };
    const listeners = { pointermove: move, pointerup: end, pointercancel: end };
    for (const [name, listener] of Object.entries(listeners)) element.addEventListener(name, listener);
  }

  return {
    /** Give a window the focus, as soon as it is drawn, so that arrow keys move it. */
    focus(key) {
      toFocus = key;
      app.axis.redraw();
    },
    id: "correction",
    before: "answers:0",
    title: "correction",
    help: "What you say: drag a window or its edges, or draw a new one; with the keyboard ← and → move what has the focus by 0.1 s, with shift by 1 s.",
    height: () => Math.max(1, ...rowsOf().map((row) => row + 1)) * ROW_PX,
    group: null,
    draw,
  };
}
