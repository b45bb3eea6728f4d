/** The ranked moments of the shown video, or that there is no such moment. */

import { still } from "./axis/stills.js";
import { fill, h } from "./dom.js";
import { cutButton } from "./exports.js";
import { icon } from "./icons.js";
import { bind } from "./keys.js";
import { isRunning } from "./question.js";
import { span } from "./times.js";

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
  const nth = (_, key) => choose(app, app.state.get().answers[0], Number(key));
  bind(["1", "2", "3", "4", "5", "6", "7", "8", "9"], nth, { shown: ["1", "…", "9"], help: "play answer 1 to 9 in a loop" });
}

/** What the list is made of; a question about many videos changes more often. */
function whatCounts({ question, answers, video, server }) {
  const failed = question?.failed.find((one) => one.video === video);
  return [question?.id, question?.query, question?.state, question?.note, failed?.problem, answers, video, server];
}

/** Choose the answer of a rank: it plays in a loop. */
function choose(app, answer, rank) {
  const found = answer?.moments[rank - 1];
  if (found) app.choose({ ...found, checkpoint: answer.checkpoint, rank });
}

function content(now, app) {
  const { question, answers, video } = now;
  if (!question) return hint("Ask for something: its moments stand here, best first.");
  const failed = question.failed.find((one) => one.video === video);
  if (question.state === "failed") return h("p", { class: "line error long", role: "alert", dir: "auto" }, question.note ?? failed?.problem ?? "The question failed.");
  if (failed && !answers.length) return h("p", { class: "line error long", role: "alert", dir: "auto" }, failed.problem);
  if (answers.length) return [h("p", { class: "answers-query long", dir: "auto", title: question.query }, h("span", { dir: "auto" }, question.query)), answers.map((one, index) => group(one, index, now, app))];
  if (isRunning(question)) return h("div", { class: "line soft small" }, h("p", { class: "long", dir: "auto" }, question.query), h("p", {}, "Looking…"));
  if (question.state === "cancelled") return again("Cancelled.", question, app);
  return again("Not asked of this video yet.", question, app);
}

function hint(text) {
  return h("p", { class: "line soft small" }, text);
}

function again(text, { query, ...how }, app) {
  const act = () => app.ask(query, { ...how, scope: "video" });
  return h("div", { class: "line small" }, h("p", { class: "soft" }, text), h("p", { class: "long", dir: "auto" }, query), h("button", { type: "button", onclick: act }, "Ask this video"));
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
  const list = h("ol", { "aria-label": `Moments${several ? ` of ${answer.checkpoint}` : ""}, best first` }, answer.moments.map((one, i) => line(answer, one, i + 1, index, app)));
  return [name, list, unknown, sure, untrained];
}

function nothing(answer, { query, ...how }, app) {
  const act = () => app.ask(query, { ...how, show_all: true });
  return h("div", { class: "answers-nothing" }, h("p", { class: "answers-no number" }, answer.nothing ?? "no moment"), h("p", { class: "soft small" }, "Probably the video does not show that."), h("button", { type: "button", onclick: act }, "Show them anyway"));
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

let announced = null;
/** Say an answer once. */
function announce({ question, answers }, app) {
  if (!answers.length || question.state !== "done" || announced === question.id) return;
  announced = question.id;
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
