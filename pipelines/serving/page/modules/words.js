/** What each word of the sentence contributes to the chosen moment. */

import { path, post } from "./api.js";
import { fill, h } from "./dom.js";

const SETTLE_MS = 200;
const MOST_WORDS = 64; // that the server tells of
const WORD = /\p{Script=Han}|[\p{Script=Hiragana}]+|[\p{Script=Katakana}ー]+|[\p{L}\p{N}][\p{L}\p{N}\p{M}'’-]*/gu;

/** Follows the chosen moment. */
export function mountWords(container, app) {
  const body = h("div", { class: "words-body" });
  fill(container, h("div", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", {}, "Words"), h("p", { class: "soft tiny" }, "left out one at a time")), body));
  let running = new AbortController();
  let timer = 0;
  app.state.watch(["moment", "video"], ({ moment, video, question }) => {
    running.abort();
    running = new AbortController();
    clearTimeout(timer);
    container.hidden = !(moment?.checkpoint && question && question.scope !== "library"); // its videos need not have been read here
    if (container.hidden) return;
    const body_ = { video, query: question.query, checkpoint: moment.checkpoint, start_s: moment.start_s, end_s: moment.end_s };
    if ((question.query.match(WORD) ?? []).length > MOST_WORDS) return void fill(body, h("p", { class: "soft small" }, `The sentence has more than ${MOST_WORDS} words; what each one does is told of shorter ones.`));
    container.setAttribute("aria-busy", "true");
    if (!body.firstChild) fill(body, h("p", { class: "soft small" }, "Asking without each word…"));
    timer = setTimeout(() => load(container, body, body_, running.signal), SETTLE_MS);
  });
}

async function load(container, body, asked, signal) {
  try {
    const reply = await post(path("words"), asked, { signal });
    fill(body, sentence(asked.query, reply.words), explanation(reply));
  } catch (problem) {
    if (signal.aborted) return;
    fill(body, h("p", { class: "error small long", dir: "auto" }, problem.message));
  }
  container.removeAttribute("aria-busy");
}

/** The sentence, each word with a bar of its effect under it; what stands between the words stays. */
function sentence(query, words) {
  const most = Math.max(1e-6, ...words.map((one) => Math.abs(one.effect)));
  return h("ul", { class: "words", dir: direction(query), "aria-label": "Effect of each word" }, words.map((one) => word(one, most)));
}

function word({ word: text, effect }, most) {
  const share = Math.abs(effect) / most;
  const kind = Math.abs(effect) < 0.005 ? "none" : effect > 0 ? "for" : "against";
  const said = { none: "no effect", for: "speaks for it", against: "speaks against it" }[kind];
  return h("li", { class: `word ${kind}`, title: said, vars: { "--share": share.toFixed(3) } },
    h("span", { class: "word-text long" }, text),
    h("span", { class: "word-effect number" }, signed(effect), h("span", { class: "unseen" }, `, ${said}`)));
}

function explanation({ whole }) {
  return h("p", { class: "soft tiny" }, `Of all that the sentence scores in this video, ${Math.round(100 * whole)} % lies in this moment. A word with +0.50 brings half of that; one with −0.50 halves what it would be without.`);
}

function signed(effect) {
  const text = Math.abs(effect).toFixed(2);
  return Number(text) === 0 ? "0.00" : `${effect > 0 ? "+" : "−"}${text}`;
}

/** The direction of a sentence, by its first letter that has one. */
function direction(text) {
  const first = text.match(/\p{L}/u)?.[0] ?? "";
  return /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u.test(first) ? "rtl" : "ltr";
}
