/** The windows that are drawn, as a list with fields: the same as on the axis, for whoever would rather type. */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { clock, parsed, span } from "../times.js";
import { judged, removed } from "./draft.js";

const DIGITS = 2;
const SAID = { right: "right", wrong: "wrong", open: "undecided" };

/** @returns {{element: HTMLElement, draw: () => void}} */
export function windowRows(desk, app) {
  const list = h("ol", { class: "fix-rows", "aria-label": "Windows of the correction" });
  const rows = new Map();

  function draw() {
    const items = desk.history?.now.items ?? [];
    for (const key of rows.keys()) if (!items.some((item) => item.key === key)) rows.delete(key);
    for (const item of items) if (!rows.has(item.key)) rows.set(item.key, row(item.key));
    const wanted = items.map((item) => rows.get(item.key).element);
    if (wanted.length !== list.children.length || wanted.some((one, i) => one !== list.children[i])) fill(list, wanted);
    items.forEach((item, i) => rows.get(item.key).draw(item, i));
  }

  function row(key) {
    const name = h("button", { class: "quiet fix-name", type: "button", onclick: () => play(key) });
    const start = field(key, "start");
    const end = field(key, "end");
    const right = verdict(key, "right", "✓", "Right");
    const wrong = verdict(key, "wrong", "✗", "Wrong");
    const away = h("button", { class: "quiet icon", type: "button", onclick: () => takeAway(key) }, icon("trash"));
    const element = h("li", { class: "fix-row" }, name, h("span", { class: "fix-times number" }, start, "–", end), h("span", { class: "fix-verdicts" }, right, wrong, away));
    return {
      element,
      draw(item, i) {
        element.dataset.verdict = item.verdict;
        element.classList.toggle("selected", desk.selected === item.key);
        fill(name, h("b", {}, i + 1), h("span", { class: "soft tiny clip" }, origin(item)));
        name.setAttribute("aria-label", `Play window ${i + 1}, ${SAID[item.verdict]}, ${span(item.start_s, item.end_s)}`);
        for (const [one, part, seconds] of [[start, "Start", item.start_s], [end, "End", item.end_s]]) {
          one.setAttribute("aria-label", `${part} of window ${i + 1}`);
          if (document.activeElement !== one || !one.classList.contains("typing")) one.value = clock(seconds, DIGITS);
        }
        right.setAttribute("aria-pressed", String(item.verdict === "right"));
        wrong.setAttribute("aria-pressed", String(item.verdict === "wrong"));
        right.setAttribute("aria-label", `Window ${i + 1} is right as it is`);
        wrong.setAttribute("aria-label", `Window ${i + 1} is wrong`);
        away.setAttribute("aria-label", `Remove window ${i + 1}`);
        away.hidden = item.rank !== null;
      },
    };
  }

  function field(key, part) {
    const input = h("input", { class: "number", type: "text", autocomplete: "off", spellcheck: "false" });
    input.addEventListener("focus", () => desk.selected !== key && desk.select(key));
    input.addEventListener("input", () => input.classList.add("typing"));
    input.addEventListener("change", () => {
      input.classList.remove("typing");
      const seconds = parsed(input.value);
      input.setAttribute("aria-invalid", String(seconds === null));
      if (seconds === null) return app.notice(`“${input.value}” is no time; expected seconds, or minutes and seconds as 1:02.5`, { failed: true });
      desk.set(key, part, seconds);
      input.value = clock(part === "start" ? desk.item(key).start_s : desk.item(key).end_s, DIGITS);
    });
    return input;
  }

  function verdict(key, value, sign, text) {
    const act = () => {
      desk.selected = key;
      desk.do(judged(key, value));
    };
    return h("button", { class: `fix-${value}`, type: "button", onclick: act }, h("span", { "aria-hidden": "true" }, `${sign} ${text}`));
  }

  function takeAway(key) {
    const next = rows.get(key).element.nextElementSibling ?? rows.get(key).element.previousElementSibling;
    desk.do(removed(key));
    (next?.querySelector("button") ?? list.parentElement.querySelector("button"))?.focus();
  }

  function play(key) {
    const item = desk.item(key);
    desk.select(key);
    app.player.loop(item.start_s, item.end_s);
    app.player.seek(item.start_s);
    app.player.play();
  }

  return { element: list, draw };
}

function origin({ rank, score, verdict }) {
  if (rank !== null) return `answer ${rank}, ${score.toFixed(2)}`;
  return verdict === "wrong" ? "said to be wrong" : "yours";
}
