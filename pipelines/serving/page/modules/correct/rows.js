/** The windows that are drawn, as a list with fields: the same as on the axis, for whoever would rather type. */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { clock, span } from "../times.js";
import { judged, removed } from "./draft.js";
import { typedEdge } from "./typed.js";

const DIGITS = 2;
const ROUNDED_S = 0.011; // an answer's edge is rounded when the other one is moved, and is still where it was
const SAID = { right: "right", wrong: "wrong", open: "undecided" };
let made = 0; // fields, so that each has a line of its own

/** @returns {{element: HTMLElement, draw: () => void, refused: () => HTMLInputElement | null}} */
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
    const start = field(key, "start", () => end.again());
    const end = field(key, "end", () => start.again());
    const right = verdict(key, "right", "✓", "Right");
    const wrong = verdict(key, "wrong", "✗", "Wrong");
    const away = h("button", { class: "quiet icon", type: "button", onclick: () => takeAway(key) }, icon("trash"));
    const times = h("span", { class: "fix-times number" }, start.input, "–", end.input);
    const element = h("li", { class: "fix-row" }, name, times, h("span", { class: "fix-verdicts" }, right, wrong, away), start.line, end.line);
    return {
      element,
      refused: () => [start, end].find((one) => one.refused())?.input ?? null,
      draw(item, i) {
        element.dataset.verdict = item.verdict;
        element.classList.toggle("selected", desk.selected === item.key);
        fill(name, h("b", {}, i + 1), h("span", { class: "soft tiny clip" }, origin(item)));
        name.setAttribute("aria-label", `Play window ${i + 1}, ${origin(item)}, ${SAID[item.verdict]}, ${span(item.start_s, item.end_s)}`);
        start.draw(item, `Start of window ${i + 1}`);
        end.draw(item, `End of window ${i + 1}`);
        right.setAttribute("aria-pressed", String(item.verdict === "right"));
        wrong.setAttribute("aria-pressed", String(item.verdict === "wrong"));
        right.setAttribute("aria-label", `Window ${i + 1} is right as it is`);
        wrong.setAttribute("aria-label", `Window ${i + 1} is wrong`);
        away.setAttribute("aria-label", `Remove window ${i + 1}`);
        away.hidden = item.rank !== null;
      },
    };
  }

  /**
   * A field for one edge: what cannot be taken stays in it, marked, with the reason below, until it is mended or undone, or
   * the other edge makes room for it.
   */
  function field(key, part, moved) {
    const line = h("p", { class: "fix-refused error tiny", role: "alert", id: `fix-refused-${++made}`, hidden: true });
    const input = h("input", { class: "number", type: "text", autocomplete: "off", spellcheck: "false" });
    const edge = () => desk.item(key)?.[`${part}_s`];
    let refusedAt = null; // where the edge was when a time was refused
    const refuse = (problem) => {
      refusedAt = problem ? edge() : null;
      line.textContent = problem ?? "";
      line.hidden = !problem;
      input.setAttribute("aria-invalid", String(Boolean(problem)));
      if (problem) input.setAttribute("aria-describedby", line.id);
      else input.removeAttribute("aria-describedby");
    };
    input.addEventListener("focus", () => desk.selected !== key && desk.select(key));
    input.addEventListener("input", () => input.classList.add("typing"));
    const take = () => {
      const { problem, seconds } = typedEdge(input.value, part, desk.item(key), desk.subject.duration_s);
      refuse(problem);
      if (problem) return;
      if (seconds !== edge()) desk.put(key, part, seconds);
      input.value = clock(edge(), DIGITS);
      moved();
    };
    input.addEventListener("change", () => {
      input.classList.remove("typing");
      take();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      refuse(null);
      input.classList.remove("typing");
      input.value = clock(edge(), DIGITS);
    });
    const draw = (item, label) => {
      input.setAttribute("aria-label", label);
      if (refusedAt !== null && Math.abs(item[`${part}_s`] - refusedAt) > ROUNDED_S) refuse(null);
      const typing = document.activeElement === input && input.classList.contains("typing");
      if (refusedAt === null && !typing) input.value = clock(item[`${part}_s`], DIGITS);
    };
    return { input, line, draw, refused: () => refusedAt !== null, again: () => refusedAt !== null && take() };
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

  /** The first field with what could not be taken, or null. */
  const refused = () => [...rows.values()].map((one) => one.refused()).find(Boolean) ?? null;

  return { element: list, draw, refused };
}

function origin({ rank, score, verdict }) {
  if (rank !== null) return `answer ${rank}, ${score.toFixed(2)}`;
  return verdict === "wrong" ? "said to be wrong" : "yours";
}
