/**
 * What a question to the library found: the moments of all videos in one order, each with its place and a filmstrip.
 *
 * All of it comes at once, so nothing moves afterwards; cards beyond the first forty are made when they are wanted.
 */

import { isRunning, wordsOf } from "./asked.js";
import { fill, h, region } from "./dom.js";
import { cutButton, moreLike } from "./exports.js";
import { filmstrip } from "./filmstrip.js";
import { progressLine } from "./progress.js";
import { contextOf, counted, link } from "./results.js";
import { span } from "./times.js";
import { WayBack } from "./way_back.js";

const PAGE = 40; // cards that are drawn at once
const SOURCES = { clips: "seen", subtitles: "subtitles", name: "file name" };
const GONE = "This file cannot be opened here: it is gone, or is no more the file that was taken in.";

const rooms = new WeakMap();

/** @param {HTMLElement} container @param {object} question of the state, of scope "library" @param {object} app see main.js */
export function renderFound(container, question, app) {
  if (!rooms.has(container)) rooms.set(container, new Room(container, app));
  rooms.get(container).draw(question);
}

class Room {
  constructor(container, app) {
    this.container = container;
    this.app = app;
    this.context = contextOf(app);
    this.drawn = null;
    this.title = h("h2", { class: "found-title long", dir: "auto", tabindex: "-1" });
    this.status = h("p", { class: "results-status", role: "status" });
    this.bar = h("progress", { class: "results-bar", "aria-label": "Progress of the search" });
    this.body = h("div", { class: "found-body" });
    this.list = h("ol", { class: "results-list", "aria-label": "Moments of the library, best first" });
    this.more = h("button", { type: "button", class: "results-button", hidden: true, onclick: () => this.grow() });
    this.way = new WayBack("Back to the library", () => this.list.querySelector("button") ?? region("found"));
    container.classList.add("results");
    fill(container, h("div", { class: "found-head" }, this.title, this.status, this.bar), this.body, this.list, this.more, this.way.button);
  }

  draw(question) {
    const { found, key } = question;
    this.title.textContent = wordsOf(question);
    this.bar.hidden = !isRunning(question);
    if (question.n_total) [this.bar.max, this.bar.value] = [question.n_total, question.n_done];
    else this.bar.removeAttribute("value");
    this.status.setAttribute("aria-live", isRunning(question) ? "off" : "polite");
    const words = statusOf(question);
    if (this.status.textContent !== words) this.status.textContent = words;
    if (this.drawn?.key === key && this.drawn.found === found) return;
    if (this.drawn?.key !== key) this.begin();
    this.drawn = { key, found };
    this.limit = PAGE;
    this.way.button.hidden = true;
    this.list.replaceChildren();
    fill(this.body, found ? this.about(question) : []);
    this.cards();
  }

  /** Another question: what had the focus goes with the former one. */
  begin() {
    if (this.container.contains(document.activeElement)) this.title.focus({ preventScroll: true });
    this.container.scrollTop = 0;
  }

  /** What stands above the moments. */
  about(question) {
    const { found, show_all } = question;
    const parts = found.moments.length ? [h("p", { class: "soft small" }, found.order_said)] : [this.nothing(question)];
    const least = question.min_exists ?? this.app.state.get().server.checkpoints.find(({ name }) => name === found.checkpoint)?.min_exists ?? null;
    if (show_all && found.moments.length && found.exists !== null && least !== null && found.exists < least) parts.unshift(this.anyway(question));
    const notes = found.notes.map((note) => h("li", { class: "long", dir: "auto" }, note));
    const unknown = question.answers[0]?.unknown_words ?? [];
    if (unknown.length) notes.unshift(h("li", { class: "long", dir: "auto" }, `${found.checkpoint} does not know: ${unknown.join(", ")}`));
    if (notes.length) parts.push(h("ul", { class: "found-notes small", "aria-label": "Notes" }, notes));
    return parts;
  }

  nothing({ query, ...how }) {
    const act = () => this.app.ask(query, { ...how, show_all: true });
    const guesses = how.like || how.picture || how.show_all ? null : h("button", { type: "button", onclick: act }, "Show the best guesses anyway");
    return h("div", { class: "answers-nothing" }, h("p", { class: "answers-no number" }, how.found.nothing ?? "no moment"), h("p", { class: "soft small" }, "Probably no video of the library shows that."), guesses);
  }

  /** Above moments that are shown although there probably is none. */
  anyway({ query, ...how }) {
    const act = () => this.app.ask(query, { ...how, show_all: false });
    return h("div", { class: "answers-nothing" }, h("p", { class: "small" }, `Probably no video of the library shows that: probability ${how.found.exists.toFixed(2)}. These are the best guesses anyway.`), h("button", { type: "button", onclick: act }, "Hide them"));
  }

  cards() {
    const { found } = this.drawn;
    const moments = found?.moments ?? [];
    for (const one of moments.slice(this.list.children.length, this.limit)) this.list.append(this.card(one, found));
    const left = moments.length - this.list.children.length;
    this.more.hidden = left <= 0;
    this.more.textContent = `Show ${Math.min(PAGE, left)} more of ${left.toLocaleString("en")}`;
  }

  grow() {
    const next = this.list.children.length;
    this.limit += PAGE;
    this.cards();
    this.list.children[next]?.querySelector("button")?.focus();
  }

  card(one, found) {
    const id = one.video_id;
    const name = h("h3", { class: "result-name" }, h("span", { class: "found-rank number" }, h("span", { class: "unseen" }, "Rank "), one.rank), h("bdi", {}, one.video));
    const open = () => this.open(one, found);
    return h("li", { class: "result" },
      name,
      h("p", { class: "result-facts" }, factsOf(one, found.order).join(" · ")),
      one.text && h("p", { class: "found-text long", dir: "auto" }, one.text),
      id === null
        ? h("p", { class: "soft small" }, GONE)
        : filmstrip({ video: id, name: one.video, moment: one, durationS: one.duration_s ?? one.end_s, info: this.context.info, open }),
      h("div", { class: "result-others" }, id !== null && this.tools(one), one.copies.length > 0 && this.copies(one)));
  }

  tools(one) {
    const label = `More like this: ${one.video}, ${span(one.start_s, one.end_s)}`;
    const alike = h("button", { type: "button", class: "results-link", "aria-label": label, onclick: () => moreLike(this.app, one.video_id, one) }, "More like this");
    return [alike, cutButton(this.app, one.video_id, one)];
  }

  copies(one) {
    const rows = one.copies.map(({ video, video_id: id }) => h("li", {}, id === null ? h("bdi", { class: "results-line" }, video) : link(video, () => this.way.leave(() => this.context.open(id, momentOf(one, null))))));
    return h("details", { class: "found-copies" }, h("summary", {}, one.copies.length === 1 ? "and 1 copy" : `and ${one.copies.length.toLocaleString("en")} copies`), h("ul", {}, rows));
  }

  /** Shows the video at the moment; it is the same moment in the list of answers beside the player. */
  open(one, found) {
    const own = found.moments.filter(({ video_id: id }) => id === one.video_id);
    this.way.leave(() => this.context.open(one.video_id, momentOf({ ...one, rank: own.indexOf(one) + 1 }, found.checkpoint)));
  }
}

function momentOf({ start_s, end_s, score, rank }, checkpoint) {
  return { start_s, end_s, score: score ?? 0, rank, checkpoint };
}

function factsOf({ start_s, end_s, score, exists, sources }, order) {
  const facts = [span(start_s, end_s)];
  if (score !== null) facts.push(`${order === "similarity" ? "likeness" : "score"} ${score.toFixed(2)}`);
  if (exists !== null) facts.push(`there with probability ${exists.toFixed(2)}`);
  const where = sources.map((one) => SOURCES[one] ?? one);
  if (where.join() !== SOURCES.clips) facts.push(`found in: ${where.join(", ")}`);
  return facts;
}

/** How far a search is, or what came of it. */
export function statusOf(question) {
  const { state, found, problem, note } = question;
  if (isRunning(question)) return progressLine(question);
  if (state === "cancelled") return "Cancelled";
  if (!found) return note ?? problem ?? "There is no answer";
  const videos = new Set(found.moments.map((one) => one.video_id ?? one.video)).size;
  const moments = found.moments.length ? `${counted(found.moments.length, "moment")} in ${counted(videos, "video")}; ` : "";
  const closely = found.n_closely ? `, ${found.n_closely.toLocaleString("en")} of them closely` : "";
  return `${moments}${counted(found.n_videos, "video")} looked at${closely}, by ${found.model}`;
}
