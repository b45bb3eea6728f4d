/** Questions that go on, or were answered, while another one is shown: each with how far it is, to be shown or cancelled. */

import { isRunning, unseen, wordsOf } from "./asked.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

const WIDE = { all: "All videos", library: "Library" };

/** @param {(key: number) => void} cancel @returns {HTMLElement} */
export function otherQuestions(app, cancel) {
  const list = h("ul", { class: "ask-others", "aria-label": "Other questions", hidden: true });
  const rows = new Map(); // key of the question -> its row, which stays while it changes, and so does the focus in it
  app.state.watchPart(["questions", "asked", "videos"], (now) => [now.videos, ...unseen(now)], (now) => {
    const others = unseen(now);
    for (const key of rows.keys()) if (!others.some((one) => one.key === key)) rows.delete(key);
    for (const one of others) if (!rows.has(one.key)) rows.set(one.key, row(one, app, cancel));
    for (const one of others) rows.get(one.key).draw(one, now.videos);
    const elements = others.map((one) => rows.get(one.key).element);
    if (elements.length !== list.children.length || elements.some((one, i) => one !== list.children[i])) fill(list, elements);
    list.hidden = !others.length;
  });
  return list;
}

function row(question, app, cancel) {
  const { key } = question;
  const find = () => app.state.get().questions.find((one) => one.key === key);
  const far = h("span", { class: "soft number" });
  const where = h("bdi", {});
  const what = h("bdi", {}, wordsOf(question));
  const show = h("button", { type: "button", class: "quiet ask-other", onclick: () => find() && app.showQuestion(find()) }, h("span", { class: "clip" }, where, ": ", what), far);
  const stop = h("button", { type: "button", class: "quiet icon", "aria-label": `Cancel: ${wordsOf(question)}`, title: "Cancel", onclick: () => cancel(key) }, icon("close"));
  return {
    element: h("li", {}, show, stop),
    draw(question, videos) {
      what.textContent = wordsOf(question);
      where.textContent = WIDE[question.scope] ?? (videos.find((one) => one.id === question.videos[0])?.name ?? "a video");
      far.textContent = howFar(question);
      stop.hidden = !isRunning(question);
    },
  };
}

/** One or two words. */
export function howFar({ state, place, reading, n_done, n_total }) {
  if (state === "done") return "answered";
  if (state === "failed") return "failed";
  if (state === "waiting") return place > 0 ? `waits behind ${place}` : "waits";
  if (n_total > 1) return `${n_done} of ${n_total}`;
  return reading?.total ? `read to ${Math.floor((100 * reading.done) / reading.total)} %` : "looking";
}
