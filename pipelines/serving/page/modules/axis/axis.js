/**
 * One time axis under the player: lanes that share a view, a playhead, and the ways to move in it.
 *
 * A lane is {id, title, help, height, group, draw, describe}:
 *   help      one line: what it shows
 *   height    pixels, or a function of the view
 *   group     null, or {index, name}: the checkpoint that says it
 *   draw(track, view)   fill the element `track` (position: relative; view.width wide); called for every new view, and
 *             after app.axis.redraw(). Things in it are placed with dom.js `vars: {"--x": view.x(start) + "px"}`; what
 *             takes pointers for itself has the attribute data-own-pointer
 */

import { fill, h } from "../dom.js";
import { bind } from "../keys.js";
import { answerLanes, truthLane } from "./lanes.js";
import { overview } from "./overview.js";
import { followPointer } from "./pointer.js";
import { ruler } from "./ruler.js";
import { stillsLane } from "./stills.js";
import { toolbar } from "./toolbar.js";
import { View } from "./view.js";

const JUMP_S = 0.75; // what plays moves less between two pictures
const HIDDEN_KEY = "spikemba.hidden-lanes";

/**
 * Show the axis of the shown video.
 * @returns what app.axis is: addLane, removeLane, redraw, view, onView, zoomTo
 */
export function mountAxis(container, app) {
  const axis = new Axis(app);
  const bar = toolbar(axis, app);
  fill(container, h("div", { class: "axis panel" }, bar.element, axis.body, axis.overview.element));
  container.hidden = true;
  app.state.watch(["info"], ({ info }) => {
    container.hidden = !info?.duration_s;
    if (info?.duration_s) axis.show(new View(info.duration_s, axis.width()));
  });
  const part = ({ info, answers, truth, question }) => [info, answers, truth, question?.query];
  app.state.watchPart(["info", "answers", "truth", "question"], part, (now) => axis.setLanes(lanesOf(now, app)));
  app.state.watch(["moment", "loop"], () => axis.redraw());
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => axis.redraw());
  new ResizeObserver(() => axis.show(axis.view().sized(axis.width()))).observe(axis.tracks);
  app.player.onTime((now) => axis.follow(now));
  bindKeys(axis);
  return axis;
}

function lanesOf({ info, answers, truth, question }, app) {
  if (!info) return [];
  const several = answers.length > 1;
  const own = answers.flatMap((answer, index) => answerLanes(answer, { index, name: answer.checkpoint, several }, app));
  return [stillsLane(info), truthLane(truth, question?.query, app), ...own].filter(Boolean);
}

class Axis {
  #view = new View(0, 0);
  #lanes = [];
  #added = [];
  #watchers = new Set();
  #asked = 0;
  #rows = new Map();
  #now = 0;

  constructor(app) {
    this.app = app;
    this.hidden = new Set(readHidden());
    this.ruler = ruler(this, app);
    this.tracks = h("div", { class: "axis-tracks" });
    this.over = h("div", { class: "axis-over", "aria-hidden": "true" }, h("div", { class: "axis-loop" }), h("div", { class: "axis-drag" }), h("div", { class: "axis-hover" }), h("div", { class: "axis-playhead" }));
    this.list = h("div", { class: "axis-lanes" });
    this.body = h("div", { class: "axis-body" }, this.list, this.tracks, this.over);
    this.overview = overview(this);
    followPointer(this, app);
  }

  width() {
    return this.tracks.clientWidth;
  }

  /** @returns {View} */
  view() {
    return this.#view;
  }

  /** Call `fn(view)` now and for every new view. */
  onView(fn) {
    this.#watchers.add(fn);
    fn(this.#view);
  }

  show(view) {
    this.#view = view;
    this.redraw();
    for (const one of this.#watchers) one(view);
  }

  /** Show a range with some room around it. */
  zoomTo(start_s, end_s) {
    const room = Math.max(1, (end_s - start_s) * 0.5);
    this.show(this.#view.at(start_s - room, end_s + room));
  }

  setLanes(lanes) {
    this.#lanes = lanes;
    this.redraw();
  }

  /** Another module's lane; the same id takes the place of the earlier one. `before`: id of the lane that it stands above. */
  addLane(lane) {
    this.removeLane(lane.id);
    this.#added.push(lane);
    this.redraw();
  }

  removeLane(id) {
    this.#added = this.#added.filter((one) => one.id !== id);
    this.redraw();
  }

  /** All lanes in their order, hidden ones, too. */
  lanes() {
    const all = [...this.#lanes];
    for (const one of this.#added) {
      const at = all.findIndex((lane) => lane.id === (one.before ?? ""));
      const behindTruth = all.findLastIndex((lane) => lane.id === "truth" || lane.id === "stills") + 1;
      all.splice(at < 0 ? behindTruth : at, 0, one);
    }
    return all;
  }

  toggleLane(id) {
    if (!this.hidden.delete(id)) this.hidden.add(id);
    localStorage.setItem(HIDDEN_KEY, JSON.stringify([...this.hidden]));
    this.redraw();
  }

  /** Draw again before the next picture of the screen. */
  redraw() {
    this.#asked ||= requestAnimationFrame(() => {
      this.#asked = 0;
      this.#draw();
    });
  }

  /** The time has changed: where it jumps or plays out of the view, the view goes with it. */
  follow(seconds) {
    const [view, before] = [this.#view, this.#now];
    this.#now = seconds;
    const length = view.to - view.from;
    const outside = seconds < view.from || seconds > view.to;
    if (outside && Math.abs(seconds - before) > JUMP_S) this.show(view.at(seconds - length / 2, seconds + length / 2));
    else if (outside && before <= view.to && seconds > view.to) this.show(view.moved(length * 0.9));
    else this.#setPlayhead(seconds);
  }

  #setPlayhead(seconds) {
    const view = this.#view;
    this.over.style.setProperty("--now", `${view.x(seconds)}px`);
    this.over.classList.toggle("now-outside", seconds < view.from || seconds > view.to);
    this.ruler.setTime(seconds);
  }

  #draw() {
    const view = this.#view;
    if (!view.duration || !view.width) return;
    const shown = this.lanes().filter((one) => !this.hidden.has(one.id.split(":")[0]));
    const rows = new Map(shown.map((lane) => [lane.id, this.#rows.get(lane.id) ?? newRow()]));
    const parts = [this.ruler.element];
    let group = null;
    for (const lane of shown) {
      if (lane.group?.several && lane.group.name !== group) parts.push(groupHead(lane.group));
      group = lane.group?.name ?? null;
      parts.push(rows.get(lane.id).element);
    }
    if (parts.length !== this.list.children.length || parts.some((one, i) => one !== this.list.children[i])) keepFocus(() => fill(this.list, parts));
    this.#rows = rows;
    for (const lane of shown) drawRow(rows.get(lane.id), lane, view);
    this.ruler.draw(view);
    this.overview.draw(view, this.app.state.get());
    this.#drawLoop(view);
    this.#setPlayhead(this.app.player.time());
  }

  #drawLoop(view) {
    const { loop } = this.app.state.get();
    this.over.classList.toggle("loops", loop !== null);
    if (!loop) return;
    const [from, to] = [Math.max(0, view.x(loop[0])), Math.min(view.width, view.x(loop[1]))];
    this.over.style.setProperty("--loop-x", `${from}px`);
    this.over.style.setProperty("--loop-w", `${Math.max(0, to - from)}px`);
  }
}

function newRow() {
  const name = h("button", { class: "lane-name quiet", type: "button", "aria-expanded": "false" });
  const help = h("p", { class: "lane-help soft tiny", hidden: true });
  const track = h("div", { class: "lane-track" });
  name.addEventListener("click", () => {
    help.hidden = !help.hidden;
    name.setAttribute("aria-expanded", String(!help.hidden));
  });
  return { name, help, track, element: h("div", { class: "lane" }, name, track, help) };
}

function drawRow({ name, help, track, element }, lane, view) {
  if (name.dataset.title !== lane.title) {
    name.dataset.title = lane.title;
    fill(name, h("span", { class: "clip" }, lane.title), h("span", { class: "lane-ask", "aria-hidden": "true" }, "?"));
    name.setAttribute("aria-label", `${lane.title}: what is this?`);
  }
  name.title = help.textContent = lane.help;
  element.dataset.lane = lane.id;
  element.dataset.model = lane.group ? String(lane.group.index % 2) : "";
  const height = typeof lane.height === "function" ? lane.height(view) : lane.height;
  track.style.setProperty("--height", `${height}px`);
  lane.draw(track, view);
}

function groupHead({ index, name }) {
  return h("div", { class: "lane-group", data: { model: String(index % 2) } }, h("span", { class: "swatch", "aria-hidden": "true" }), h("span", { class: "long", dir: "auto" }, name));
}

/** Do what may move the focused element about, and focus it again. */
function keepFocus(act) {
  const focused = document.activeElement;
  act();
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function readHidden() {
  try {
    return JSON.parse(localStorage.getItem(HIDDEN_KEY)) ?? [];
  } catch {
    return [];
  }
}

function bindKeys(axis) {
  bind(["+", "=", "-", "0"], (_, key) => {
    if (key === "0") axis.show(axis.view().at(0, axis.view().duration));
    else axis.show(axis.view().zoomedAround(key === "-" ? 2 : 0.5, axis.app.player.time()));
  }, { shown: ["+", "-", "0"], help: "zoom the time axis in, out, to the whole video" });
}
