/** Above the lanes: what is under the pointer, zoom, and which lanes are shown. */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { popover } from "../popover.js";
import { clock } from "../times.js";

const COARSE = window.matchMedia("(pointer: coarse)");

/** @returns {{element: HTMLElement}} */
export function toolbar(axis, app) {
  const reading = h("p", { class: "axis-reading number tiny soft clip", "aria-hidden": "true" });
  const button = (picture, name, act) => h("button", { class: "quiet icon", type: "button", "aria-label": name, title: name, onclick: act }, icon(picture));
  const out = button("minus", "Zoom out (-)", () => axis.show(axis.view().zoomedAround(2, app.player.time())));
  const closer = button("plus", "Zoom in (+)", () => axis.show(axis.view().zoomedAround(0.5, app.player.time())));
  const whole = button("whole", "Whole video (0)", () => axis.show(axis.view().at(0, axis.view().duration)));
  const choices = h("div", { class: "lane-choices" });
  const lanes = popover({ name: "Lanes", picture: "eye", text: "Lanes", before: () => fill(choices, laneChoices(axis)) }, h("h2", {}, "Lanes of the time axis"), choices);
  axis.onHover = (seconds) => (reading.textContent = seconds === null ? resting(axis.view()) : read(seconds, app.state.get()));
  axis.onView((view) => {
    reading.textContent = resting(view);
    out.disabled = whole.disabled = view.isWhole;
  });
  const tools = h("div", { class: "axis-tools", role: "group", "aria-label": "Zoom and lanes" }, out, closer, whole, lanes.button, lanes.panel);
  return { element: h("div", { class: "panel-head axis-head" }, h("h2", {}, "Time"), reading, tools) };
}

function resting(view) {
  if (!view.isWhole) return `${clock(view.from)} – ${clock(view.to)} of ${clock(view.duration)}`;
  return COARSE.matches ? "tap: go there · drag: loop" : "click: go there · drag: loop · ctrl + wheel: zoom";
}

/** What the answers say of a time. */
function read(seconds, { answers }) {
  const said = answers.map(({ checkpoint, explained }) => {
    const at = Math.min(explained.saliency.length - 1, Math.floor(seconds / explained.clip_s));
    const value = (values) => (values[at] ?? 0).toFixed(2);
    const who = answers.length > 1 ? `${checkpoint}: ` : "";
    return `${who}saliency ${value(explained.saliency)}, foreground ${value(explained.foreground)}`;
  });
  return [clock(seconds), ...said].join(" · ");
}

function laneChoices(axis) {
  const seen = new Map();
  for (const lane of axis.lanes()) seen.set(lane.id.split(":")[0], lane);
  return [...seen].map(([kind, lane]) => {
    const box = h("input", { type: "checkbox", checked: !axis.hidden.has(kind), "aria-describedby": `lane-help-${kind}`, onchange: () => axis.toggleLane(kind) });
    return h("div", {}, h("label", { class: "row" }, box, lane.title), h("p", { class: "soft tiny", id: `lane-help-${kind}` }, lane.help));
  });
}
