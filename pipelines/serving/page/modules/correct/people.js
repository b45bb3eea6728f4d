/** What people saved of the shown video and sentence: who, when, and what. */

import { fill, h } from "../dom.js";
import { span } from "../times.js";
import { disagreements } from "./agreement.js";

/** @returns {{element: HTMLElement, draw: () => void}} */
export function peopleRows(desk, app) {
  const list = h("ul", { class: "fix-people" });
  const disputed = h("div", { class: "fix-disputed", hidden: true });
  let drawn = null;
  let own = null;
  return {
    element: h("div", { class: "fix-saved" }, disputed, list),
    draw() {
      const rows = desk.rows ?? [];
      if (drawn === desk.rows && own === desk.own && drawn !== null) return; // a button in it keeps the focus
      [drawn, own] = [desk.rows, desk.own];
      list.hidden = rows.length === 0;
      drawDisputed(disputed, disagreements(rows));
      fill(list, rows.map((row) => person(row, row === desk.own, desk, app)));
    },
  };
}

function drawDisputed(room, found) {
  room.hidden = found.length === 0;
  const line = ({ names, text }) => h("p", { class: "small long", dir: "auto" }, h("b", {}, `${names.join(" and ")} disagree about this`), `: ${text}.`);
  fill(room, found.map(line), found.length > 0 && h("p", { class: "soft tiny" }, "No model can be trained on it until they agree: one of them says it again."));
}

function person(row, own, desk, app) {
  const when = new Date(row.at);
  const take = () => desk.takeOver(row);
  return h(
    "li",
    { class: "fix-person" },
    h("p", { class: "small" }, h("b", { class: "long", dir: "auto" }, row.by), own && " (you)", " ", h("time", { class: "soft tiny", datetime: row.at }, when.toLocaleString())),
    h("div", { class: "fix-said small" }, saidOf(row, app)),
    !own && h("button", { class: "quiet", type: "button", "aria-label": `Begin with this: what ${row.by} says`, onclick: take }, "Begin with this"),
  );
}

function saidOf({ relevant_windows: right, wrong_windows: wrong }, app) {
  const button = (window, sign, name, kind) => {
    const act = () => app.choose({ start_s: window[0], end_s: window[1], score: null, checkpoint: null, rank: null });
    return h("button", { class: `fix-window ${kind} number`, type: "button", "aria-label": `Play ${span(...window)}, ${name}`, onclick: act }, h("span", { "aria-hidden": "true" }, `${sign} ${span(...window)}`));
  };
  return [
    right?.length === 0 && h("span", {}, "not in this video"),
    (right ?? []).map((window) => button(window, "✓", "right", "right")),
    wrong.map((window) => button(window, "✗", "wrong", "wrong")),
  ];
}
