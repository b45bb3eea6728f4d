/**
 * Answers over several videos: a filmstrip each, best first; what has no such moment and what failed at the end.
 *
 * Nothing moves while answers arrive: new ones are appended. They are put in order when the last is there and nobody
 * points at them, or at the press of a button.
 */

import { get, path } from "./api.js";
import { h, region } from "./dom.js";
import { filmstrip } from "./filmstrip.js";
import { span } from "./times.js";
import { pathOf } from "./video_rows.js";
import { WayBack } from "./way_back.js";

const PAGE = 40; // answers that are drawn at once

const resultsOf = new WeakMap();

/**
 * Shows a question's answers in a container; called again whenever more of them are known.
 *
 * @param {HTMLElement} container
 * @param {object} question as GET /api/questions/{id} gives it; `answers` and `failed` only ever grow
 * @param {object} app what modules share, see main.js
 */
export function renderResults(container, question, app) {
  let results = resultsOf.get(container);
  if (!results || results.id !== question.id || results.taken.answers > question.answers.length) {
    results = new Results(container, question.id, contextOf(app));
    resultsOf.set(container, results);
  }
  results.take(question);
}

/** What results need of the page: names, what files say of themselves (asked once each), and to open a moment. */
export function contextOf(app) {
  let [names, videosOf] = [new Map(), null];
  const infos = new Map();
  const name = (id) => {
    const { videos } = app.state.get();
    if (videosOf !== videos) [names, videosOf] = [new Map(videos.map((video) => [video.id, pathOf(video)])), videos];
    return names.get(id) ?? id;
  };
  const info = (id) => {
    if (!infos.has(id)) infos.set(id, get(path("videos", id)));
    return infos.get(id);
  };
  const open = (id, moment) => {
    app.openVideo(id, { moment });
    goTo(region("stage"));
  };
  return { name, info, open };
}

/**
 * The order of `spikemba ground`: with a moment first, then by the best score where scores are probabilities, else by
 * how sure the model is, then by the best score. Where nothing tells whether a moment is there, scores of two videos
 * cannot be compared: they stay as they came. Of several checkpoints, by score only where all are calibrated.
 *
 * @param {object[]} answers all that are put in order together
 * @returns {function(object, object): number} negative where the first of two answers comes first
 */
export function bestFirst(answers) {
  const byScore = answers.every(({ calibrated }) => calibrated);
  const placeOf = ({ moments, exists, calibrated }) => {
    const sure = -(exists ?? 0);
    const best = calibrated || exists !== null ? -Math.max(0, ...moments.map(({ score }) => score)) : 0;
    return [moments.length ? 0 : 1, ...(byScore ? [best, sure] : [sure, best])];
  };
  return (a, b) => {
    const [first, second] = [placeOf(a), placeOf(b)];
    for (const [k, value] of first.entries()) if (value !== second[k]) return value - second[k];
    return 0;
  };
}

/** Scrolls to an element and gives it the focus. */
function goTo(element) {
  element.scrollIntoView({ block: "start" });
  element.focus({ preventScroll: true });
}

class Results {
  constructor(container, id, context) {
    this.id = id;
    this.context = { ...context, open: (video, moment) => this.way.leave(() => context.open(video, moment)) };
    this.found = [];
    this.absent = [];
    this.failed = [];
    this.taken = { answers: 0, failed: 0 };
    this.cards = new Map();
    this.limit = PAGE;
    this.sorted = true;
    this.list = h("ol", { class: "results-list" });
    this.bar = h("progress", { class: "results-bar", "aria-label": "Progress of the question" });
    this.status = h("p", { class: "results-status", role: "status", "aria-live": "off" });
    this.sort = button("Put the best first", () => this.putInOrder());
    this.more = button("", () => {
      this.limit += PAGE;
      this.draw();
    });
    this.nothing = fold("results-nothing");
    this.broken = fold("results-failed");
    this.way = new WayBack("Back to all answers", () => this.list.querySelector("button"));
    container.replaceChildren(
      h("div", { class: "results-head" }, this.status, this.bar, this.sort),
      this.list,
      this.more,
      this.nothing.whole,
      this.broken.whole,
      this.way.button,
    );
    container.classList.add("results");
  }

  /** Takes over what is new of a question. */
  take(question) {
    const answers = question.answers.slice(this.taken.answers);
    const failed = question.failed.slice(this.taken.failed);
    this.taken = { answers: question.answers.length, failed: question.failed.length };
    for (const answer of answers) (answer.moments.length ? this.found : this.absent).push(answer);
    for (const one of failed) {
      // a video that cannot be read fails for every checkpoint
      if (!this.failed.some(({ video, problem }) => video === one.video && problem === one.problem)) this.failed.push(one);
    }
    this.several = new Set([...(question.checkpoints ?? []), ...question.answers.map(({ checkpoint }) => checkpoint)]).size > 1;
    if (answers.length) this.sorted = inOrder(this.found);
    const over = !["waiting", "working"].includes(question.state);
    if (over && !this.sorted && !this.isLookedAt()) this.putInOrder();
    else if (answers.length || failed.length) this.draw();
    this.sort.hidden = this.sorted;
    this.say(question, over);
  }

  isLookedAt() {
    return this.list.matches(":hover") || this.list.contains(document.activeElement);
  }

  putInOrder() {
    this.found.sort(bestFirst(this.found));
    this.absent.sort(bestFirst(this.absent));
    this.sorted = true;
    this.sort.hidden = true;
    this.draw();
  }

  draw() {
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    const cards = this.found.slice(0, this.limit).map((answer) => this.card(answer));
    // what is there already stays where it is, so that neither focus nor a playing strip is disturbed
    const stays = [...this.list.children].every((child, k) => child === cards[k]);
    if (stays) this.list.append(...cards.slice(this.list.children.length));
    else this.list.replaceChildren(...cards);
    if (focused?.isConnected) focused.focus({ preventScroll: true });
    const left = this.found.length - cards.length;
    this.more.hidden = left <= 0;
    this.more.textContent = `Show ${Math.min(PAGE, left)} more of ${left.toLocaleString("en")}`;
    this.drawNothing();
    this.drawFailed();
  }

  card(answer) {
    let card = this.cards.get(answer);
    if (!card) {
      card = cardOf(answer, this.context, this.several);
      this.cards.set(answer, card);
    }
    return card;
  }

  drawNothing() {
    const { open, name } = this.context;
    this.nothing.fill(`No such moment: ${counted(this.absent.length, "answer")}`, this.absent, (answer) => [
      link(name(answer.video_id), () => open(answer.video_id, null)),
      h("span", { class: "results-line" }, this.several ? `${answer.nothing} · ${answer.checkpoint}` : answer.nothing),
    ]);
  }

  drawFailed() {
    const { open, name } = this.context;
    this.broken.fill(`Not asked: ${counted(this.failed.length, "video")}`, this.failed, ({ video, problem }) => [
      link(name(video), () => open(video, null)),
      h("span", { class: "results-line" }, problem),
    ]);
    if (this.failed.length && !this.found.length && !this.absent.length) this.broken.whole.open = true;
  }

  say(question, over) {
    const { n_done: done, n_total: total, reading } = question;
    this.bar.hidden = over;
    this.bar.max = Math.max(1, total);
    this.bar.value = done + (reading?.total ? Math.min(1, reading.done / reading.total) : 0);
    this.status.setAttribute("aria-live", over ? "polite" : "off");
    const words = this.words(question);
    if (this.status.textContent !== words) this.status.textContent = words;
  }

  words({ state, n_done: done, n_total: total, note }) {
    const far = total ? `${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
    if (["waiting", "working"].includes(state)) return far && `${far} answered`;
    if (state === "cancelled") return far ? `Cancelled: ${far} answered` : "Cancelled";
    if (state === "failed") return note ?? "There is no answer";
    return summary(this.found, this.absent, this.failed);
  }
}

/** What came of a question: every video is in one of the numbers. */
export function summary(found, absent, failed) {
  const unsure = found.length > 1 ? [...new Set(found.filter(({ exists, calibrated }) => exists === null && !calibrated).map(({ checkpoint }) => checkpoint))] : [];
  const order = unsure.length ? `; scores of ${unsure.join(" and ")} do not compare between videos` : "";
  const videos = new Set([...found, ...absent].map((one) => one.video_id)).size;
  const models = new Set([...found, ...absent].map(({ checkpoint }) => checkpoint)).size;
  const of = models > 1 ? ` (${counted(videos, "video")}, ${models} models)` : "";
  const broken = new Set(failed.map(({ video }) => video)).size;
  const lost = broken ? `, ${counted(broken, "video")} not asked` : "";
  return `${counted(found.length, "answer")} with a moment, ${absent.length.toLocaleString("en")} without${of}${lost}${order}`;
}

/** One answer: name, the best moment as a strip, and the others. */
function cardOf(answer, { open, name, info }, several) {
  const [best, ...others] = answer.moments.map((one, k) => ({ ...one, checkpoint: answer.checkpoint, rank: k + 1 }));
  const title = name(answer.video_id);
  const go = (moment) => open(answer.video_id, moment);
  const facts = [span(best.start_s, best.end_s), `score ${best.score.toFixed(2)}`];
  if (answer.exists !== null) facts.push(`there with probability ${answer.exists.toFixed(2)}`);
  if (several) facts.push(answer.checkpoint);
  return h(
    "li",
    { class: "result" },
    h("h3", { class: "result-name" }, h("bdi", {}, title)),
    h("p", { class: "result-facts" }, facts.join(" · ")),
    filmstrip({
      video: answer.video_id,
      name: title,
      moment: best,
      durationS: answer.duration_s,
      info,
      open: () => go(best),
    }),
    others.length > 0 &&
      h(
        "p",
        { class: "result-others" },
        h("span", {}, "also "),
        ...others.map((moment) => {
          const times = span(moment.start_s, moment.end_s);
          const score = moment.score.toFixed(2);
          const other = link(times, () => go(moment));
          other.setAttribute("aria-label", `${times} ${score}, time and score: open ${title}`);
          other.append(h("span", { class: "result-score" }, ` ${score}`));
          return other;
        }),
      ),
  );
}

function inOrder(answers) {
  const compare = bestFirst(answers);
  return answers.every((answer, k) => k === 0 || compare(answers[k - 1], answer) <= 0);
}

/** "1 video", "2,000 videos" */
export function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

function button(text, press) {
  const made = h("button", { type: "button", class: "results-button", hidden: true }, text);
  made.addEventListener("click", press);
  return made;
}

/** A button that looks like a link. */
export function link(text, press) {
  const made = h("button", { type: "button", class: "results-link" }, h("bdi", {}, text));
  made.addEventListener("click", press);
  return made;
}

/** A folded list; its rows are made when it is opened. */
function fold(kind) {
  const summary = h("summary", {});
  const list = h("ul", {});
  const whole = h("details", { class: `results-fold ${kind}`, hidden: true }, summary, list);
  let rows = [];
  let rowOf = () => [];
  const draw = () => {
    if (!whole.open) return;
    for (const row of rows.slice(list.children.length)) list.append(h("li", {}, ...rowOf(row)));
  };
  whole.addEventListener("toggle", draw);
  const fill = (title, all, how) => {
    const grown = rows.length <= all.length && rows.every((row, k) => row === all[k]);
    if (!grown) list.replaceChildren();
    [rows, rowOf] = [[...all], how];
    whole.hidden = all.length === 0;
    summary.textContent = title;
    draw();
  };
  return { whole, fill };
}
