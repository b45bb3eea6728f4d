/** The ranked moments of the shown video, or that there is no such moment. */

import { still } from "./axis/stills.js";
import { fill, h } from "./dom.js";
import { cutButton } from "./exports.js";
import { icon } from "./icons.js";
import { bind } from "./keys.js";
import { isAbout, isRunning, wordsOf } from "./asked.js";
import { span } from "./times.js";

const NOT_SHOWN = "Probably the video does not show that.";

/** Show the answers; keys 1 to 9 choose among them. */
export function mountAnswers(container, app) {
  const body = h("div", { class: "answers-body" });
  fill(container, h("div", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", {}, "Answers"), h("p", { class: "soft small clip", id: "answers-count" })), body));
  const count = container.querySelector("#answers-count");
  app.state.watchPart(["question", "answers", "video", "server"], whatCounts, (now) => {
    keepPlace(body, () => fill(body, content(now, app)));
    markChosen(body, now.moment);
    count.textContent = summary(now) || "";
    announce(now, app);
  });
  app.state.watch(["moment"], ({ moment }) => markChosen(body, moment));
  app.state.watch(["draft"], ({ draft }) => container.classList.toggle("is-corrected", draft !== null));
  const nth = (_, key) => chooseNth(app, Number(key));
  bind(["1", "2", "3", "4", "5", "6", "7", "8", "9"], nth, { shown: ["1", "…", "9"], help: "play answer 1 to 9 in a loop; pressed again, that of the other checkpoint" });
}

/** What the list is made of; a question about many videos changes more often. */
function whatCounts({ question, answers, video, server, questions }) {
  const failed = question?.failed.find((one) => one.video === video);
  return [question?.key, question?.state, question?.note, failed?.problem, answers, video, server, question ? null : questions.at(-1)?.key];
}

/** Choose the answer of a rank: it plays in a loop. Of two checkpoints the first; chosen already, the other one's. */
function chooseNth(app, rank) {
  const { answers, moment } = app.state.get();
  const having = answers.filter((one) => one.moments.length >= rank);
  const at = moment?.rank === rank ? having.findIndex((one) => one.checkpoint === moment.checkpoint) : -1;
  const answer = having[(at + 1) % having.length];
  if (answer) app.choose({ ...answer.moments[rank - 1], checkpoint: answer.checkpoint, rank });
}

function content(now, app) {
  const { question, answers, video, questions } = now;
  if (!question) return unasked(questions, video, app);
  const failed = question.failed.find((one) => one.video === video);
  if (question.state === "failed") return h("p", { class: "line error long", role: "alert", dir: "auto" }, question.note ?? question.problem ?? failed?.problem ?? "The question failed.");
  if (failed && !answers.length) return h("p", { class: "line error long", role: "alert", dir: "auto" }, failed.problem);
  const asked = wordsOf(question);
  if (answers.length) return [h("p", { class: "answers-query long", dir: "auto", title: asked }, h("span", { dir: "auto" }, asked)), answers.map((one, index) => group(one, index, now, app)), question.scope === "library" && closer(question, app)];
  if (isRunning(question)) return h("div", { class: "line soft small" }, h("p", { class: "long", dir: "auto" }, asked), h("p", {}, "Looking…"));
  return again(question.state === "cancelled" ? "Cancelled." : "Not asked of this video yet.", question, app);
}

/** No question is shown: the one that was asked of this video before, or the last one, for this video, too. */
function unasked(questions, video, app) {
  const before = questions.findLast((one) => video !== null && isAbout(one, video));
  if (before) return offer("Asked before.", wordsOf(before), "Show it again", () => app.showQuestion(before));
  if (questions.length && video !== null) return again("Not asked of this video yet.", questions.at(-1), app);
  return hint("Ask for something: its moments stand here, best first.");
}

function hint(text) {
  return h("p", { class: "line soft small" }, text);
}

function again(text, question, app) {
  const { query, scope, top, ...how } = question;
  if (!query) return hint("The library was asked without a sentence; type one to ask this video.");
  if (scope !== "library") how.top = top;
  return offer(text, query, "Ask this video", () => app.ask(query, { ...how, scope: "video" }));
}

function offer(text, query, name, act) {
  return h("div", { class: "line small" }, h("p", { class: "soft" }, text), h("p", { class: "long", dir: "auto" }, query), h("button", { type: "button", onclick: act }, name));
}

/** Beneath what the library was asked: the same sentence for all of this video. */
function closer({ query, show_all }, app) {
  const act = () => app.ask(query, { scope: "video", show_all });
  return query && h("div", { class: "line small" }, h("p", { class: "soft" }, "Only what stands among the best of the library."), h("button", { type: "button", onclick: act }, "Ask this video"));
}

/** One checkpoint's moments. */
function group(answer, index, { question, answers, server }, app) {
  const checkpoint = server?.checkpoints.find((one) => one.name === answer.checkpoint);
  const several = answers.length > 1;
  const name = several && h("h3", { class: "answers-model", data: { model: String(index % 2) } }, h("span", { class: "swatch", "aria-hidden": "true", data: { model: String(index % 2) } }), h("span", { class: "long", dir: "auto" }, answer.checkpoint));
  const sure = answer.moments.length > 0 && answer.exists !== null && h("p", { class: "answers-note soft tiny" }, `shown at all: probability ${answer.exists.toFixed(2)}`);
  const untrained = checkpoint?.trained === false && h("p", { class: "answers-note soft tiny" }, checkpoint.note || "untrained: it cannot know whether a video shows that at all; these are its best moments");
  const unknown = answer.unknown_words?.length > 0 && h("p", { class: "answers-note small long", dir: "auto" }, `${answer.checkpoint} does not know: ${answer.unknown_words.join(", ")}`);
  if (!answer.moments.length) return [name, nothing(answer, question, app), unknown];
  const least = question.min_exists ?? checkpoint?.min_exists ?? null;
  if (question.show_all && answer.exists !== null && least !== null && answer.exists < least) return [name, anyway(answer, question, app), unknown, listOf(answer, several, index, app)];
  return [name, listOf(answer, several, index, app), unknown, sure, untrained];
}

function listOf(answer, several, index, app) {
  return h("ol", { "aria-label": `Moments${several ? ` of ${answer.checkpoint}` : ""}, best first` }, answer.moments.map((one, i) => line(answer, one, i + 1, index, app)));
}

function nothing(answer, { query, ...how }, app) {
  const act = () => app.ask(query, { ...how, show_all: true });
  return h("div", { class: "answers-nothing" }, h("p", { class: "answers-no number" }, answer.nothing ?? "no moment"), h("p", { class: "soft small" }, NOT_SHOWN), h("button", { type: "button", onclick: act }, "Show them anyway"));
}

/** Above moments that are shown although there probably is none. */
function anyway({ exists }, { query, ...how }, app) {
  const act = () => app.ask(query, { ...how, show_all: false });
  return h("div", { class: "answers-nothing" }, h("p", { class: "small" }, `${NOT_SHOWN} Shown at all: probability ${exists.toFixed(2)}. These are its best moments anyway.`), h("button", { type: "button", onclick: act }, "Hide them"));
}

function line(answer, moment, rank, index, app) {
  const act = () => app.choose({ ...moment, checkpoint: answer.checkpoint, rank });
  const middle = (moment.start_s + moment.end_s) / 2;
  const times = span(moment.start_s, moment.end_s);
  const score = moment.score.toFixed(2);
  const main = h("button", { class: "quiet answer-main", type: "button", "aria-pressed": "false", "aria-label": `Play answer ${rank}: ${times}, score ${score}`, title: `Play in a loop (${rank})`, onclick: act },
    h("span", { class: "answer-still" }, h("img", { src: still(answer.video_id, middle, 90), alt: "", width: 88, height: 50, loading: "lazy" }), h("b", { class: "answer-rank number" }, rank)),
    h("span", { class: "answer-facts" },
      h("span", { class: "number" }, times),
      h("span", { class: "answer-score" }, h("span", { class: "meter", data: { model: String(index % 2) }, vars: { "--share": moment.score } }), h("span", { class: "number small" }, score))));
  return h("li", { class: "answer-line", data: { key: `${answer.checkpoint}:${rank}` } }, main, h("span", { class: "answer-tools" }, cutButton(app, answer.video_id, moment)));
}

function markChosen(body, moment) {
  const key = moment && `${moment.checkpoint}:${moment.rank}`;
  for (const one of body.querySelectorAll(".answer-line")) {
    one.classList.toggle("chosen", one.dataset.key === key);
    one.querySelector(".answer-main").setAttribute("aria-pressed", String(one.dataset.key === key));
  }
}

function summary({ question, answers }) {
  if (!answers.length || !question) return "";
  const n = answers.reduce((sum, one) => sum + one.moments.length, 0);
  return n && `${n} ${n === 1 ? "moment" : "moments"}`;
}

const announced = new Set(); // keys of questions
/** Say an answer once. */
function announce({ question, answers }, app) {
  if (question?.state !== "done" || !answers.length || announced.has(question.key)) return;
  announced.add(question.key);
  const said = answers.map((one) => {
    const [best] = one.moments;
    const who = answers.length > 1 ? `${one.checkpoint}: ` : "";
    return who + (best ? `${one.moments.length} moments, best ${span(best.start_s, best.end_s)}, score ${best.score.toFixed(2)}` : one.nothing);
  });
  app.say(said.join("; "));
}

/** Fill the list again and focus what had the focus. */
function keepPlace(body, act) {
  const name = body.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  act();
  if (name) [...body.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === name)?.focus();
}
