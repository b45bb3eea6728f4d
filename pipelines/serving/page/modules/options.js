/** Options of a question: how many moments, from which probability on, which checkpoints answer. */

import { usualTop } from "./asked.js";
import { fill, h } from "./dom.js";
import { popover } from "./popover.js";

const MOST_AT_ONCE = 2; // the axis tells two apart

/**
 * @returns {{button, who, panels, read: (scope: string) => object, take: (asked: object, scope: string) => void}} who: the button that says who answers,
 *   hidden where there is one checkpoint
 */
export function mountOptions(app) {
  const top = h("input", { type: "number", id: "option-top", min: 1, max: 10, step: 1, value: usualTop("video") });
  const topAll = h("input", { type: "number", id: "option-top-library", min: 1, max: 100, step: 1, value: usualTop("library") });
  const ofLibrary = [h("label", { for: "option-top-library", hidden: true }, "Of the library at most"), topAll];
  topAll.hidden = true;
  app.state.watch(["server"], ({ server }) => ofLibrary.forEach((one) => (one.hidden = !server?.library)));
  const fieldOf = (scope) => (scope === "library" ? topAll : top);
  const least = h("input", { type: "number", id: "option-least", min: 0, max: 1, step: 0.05, placeholder: "as calibrated", "aria-describedby": "option-least-help" });
  const { button, panel } = popover(
    { name: "Options", picture: "options" },
    h("div", { class: "options" },
      h("label", { for: "option-top" }, "Moments at most"), top,
      ofLibrary,
      h("label", { for: "option-least" }, "Probability at least"), least,
      h("p", { class: "soft tiny", id: "option-least-help" }, "Below it the answer is “no such moment”. Empty: as the checkpoint was calibrated.")),
  );
  const { who, panel: whoPanel, boxes } = whoAnswers(app);
  const usual = () => app.state.get().server?.checkpoints.slice(0, 1).map((one) => one.name) ?? [];

  return {
    button,
    who,
    panels: [whoPanel, panel],
    read(scope) {
      const checked = boxes().filter((one) => one.checked).map((one) => one.value);
      const checkpoints = checked.length ? checked : usual();
      const field = fieldOf(scope);
      const wholeTop = Math.min(Number(field.max), Math.max(1, Math.round(Number(field.value) || usualTop(scope))));
      const share = least.value === "" ? null : Math.min(1, Math.max(0, Number(least.value)));
      return { top: wholeTop, min_exists: share, checkpoints, checkpoints_asked: checked.length > 0 && checkpoints.join() !== usual().join() };
    },
    /** Show what an address, or a question of before, says; what it does not mention stays. */
    take({ top: wanted, min_exists, checkpoints }, scope) {
      if (wanted !== undefined) fieldOf(scope).value = String(wanted ?? usualTop(scope));
      if (min_exists !== undefined) least.value = min_exists === null ? "" : String(min_exists);
      if (checkpoints !== undefined) check(boxes(), checkpoints.length ? checkpoints : usual());
    },
  };
}

/** Which checkpoints answer, said on the button itself. */
function whoAnswers(app) {
  const names = h("fieldset", {});
  const boxes = () => [...names.querySelectorAll("input")];
  const said = h("span", { class: "clip" });
  const { button: who, panel } = popover({ name: "Who answers", text: [said, h("span", { "aria-hidden": "true" }, "▾")] }, names);
  const draw = () => {
    const checked = boxes().filter((one) => one.checked);
    for (const one of boxes()) one.disabled = one.checked ? checked.length === 1 : checked.length >= MOST_AT_ONCE;
    said.textContent = checked.map((one) => one.value).join(" + ");
    who.setAttribute("aria-label", `Who answers: ${said.textContent}`);
  };
  who.classList.add("ask-who");
  app.state.watch(["server"], ({ server }) => {
    const all = server?.checkpoints ?? [];
    who.hidden = all.length < 2;
    fill(names, h("legend", {}, "Who answers (two are compared on one axis)"), all.map((one, i) => checkpointBox(one, i === 0)));
    draw();
  });
  names.addEventListener("change", draw);
  return { who, panel, boxes };
}

/** Two at most, one at least; whoever watches the boxes is told. */
function check(boxes, wanted) {
  for (const one of boxes) one.checked = wanted.includes(one.value);
  boxes[0]?.dispatchEvent(new Event("change", { bubbles: true }));
}

function checkpointBox({ name, note, trained }, checked) {
  const said = note || (trained ? "" : "untrained: cannot know whether a video shows that at all");
  return h("div", {}, h("label", { class: "row" }, h("input", { type: "checkbox", value: name, checked }), h("span", { class: "long", dir: "auto" }, name)), said && h("p", { class: "soft tiny" }, said));
}
