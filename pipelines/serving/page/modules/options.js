/** Options of a question: how many moments, from which probability on, which checkpoints answer. */

import { fill, h } from "./dom.js";
import { popover } from "./popover.js";

const TOP = 5;
const MOST_AT_ONCE = 2; // the axis tells two apart

/** @returns {{button, panel, read: () => object, take: (asked: object) => void}} */
export function mountOptions(app) {
  const top = h("input", { type: "number", id: "option-top", min: 1, max: 10, step: 1, value: TOP });
  const least = h("input", { type: "number", id: "option-least", min: 0, max: 1, step: 0.05, placeholder: "as calibrated", "aria-describedby": "option-least-help" });
  const names = h("fieldset", { hidden: true });
  const boxes = () => [...names.querySelectorAll("input")];
  const { button, panel } = popover(
    { name: "Options", picture: "options" },
    h("div", { class: "options" },
      h("label", { for: "option-top" }, "Moments at most"), top,
      h("label", { for: "option-least" }, "Probability at least"), least,
      h("p", { class: "soft tiny", id: "option-least-help" }, "Below it the answer is “no such moment”. Empty: as the checkpoint was calibrated.")),
    names,
  );
  app.state.watch(["server"], ({ server }) => {
    const all = server?.checkpoints ?? [];
    names.hidden = all.length < 2;
    fill(names, h("legend", {}, "Who answers (two are compared on one axis)"), all.map((one, i) => checkpointBox(one, i === 0)));
    limit(boxes());
  });
  names.addEventListener("change", () => limit(boxes()));

  return {
    button,
    panel,
    read() {
      const all = app.state.get().server?.checkpoints.map((one) => one.name) ?? [];
      const checked = boxes().filter((one) => one.checked).map((one) => one.value);
      const checkpoints = checked.length ? checked : all.slice(0, 1);
      const wholeTop = Math.min(10, Math.max(1, Math.round(Number(top.value) || TOP)));
      const share = least.value === "" ? null : Math.min(1, Math.max(0, Number(least.value)));
      return { top: wholeTop, min_exists: share, checkpoints, checkpoints_asked: checked.length > 0 && checkpoints.join() !== all.slice(0, 1).join() };
    },
    /** Show what an address says. */
    take({ top: wanted, checkpoints }) {
      if (wanted) top.value = String(wanted);
      if (checkpoints?.length) for (const one of boxes()) one.checked = checkpoints.includes(one.value);
      limit(boxes());
    },
  };
}

function checkpointBox({ name, note, trained }, checked) {
  const said = note || (trained ? "" : "untrained: cannot know whether a video shows that at all");
  return h("div", {}, h("label", { class: "row" }, h("input", { type: "checkbox", value: name, checked }), h("span", { class: "long", dir: "auto" }, name)), said && h("p", { class: "soft tiny" }, said));
}

/** Two at most, one at least. */
function limit(boxes) {
  const checked = boxes.filter((one) => one.checked);
  for (const one of boxes) one.disabled = one.checked ? checked.length === 1 : checked.length >= MOST_AT_ONCE;
}
