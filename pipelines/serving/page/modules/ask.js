/** The form that asks: a sentence with its history, where to look, options; then how far it is. */

import { fill, h, region } from "./dom.js";
import { forget, remember, remembered } from "./history.js";
import { icon } from "./icons.js";
import { bind } from "./keys.js";
import { mountOptions } from "./options.js";
import { pictureOf } from "./picture.js";
import { showStage } from "./narrow.js";
import { otherQuestions } from "./other_questions.js";
import { closePopovers, popover } from "./popover.js";
import { createLeft, progressLine } from "./progress.js";
import { createQuestions, isRunning } from "./question.js";

const QUIET_MS = 300; // answers that come sooner need no progress
const LONGEST = 1000; // characters that the server takes

/**
 * @typedef {{like?: object | null, picture?: string | null, only?: string, scope?: string, top?: number | null, min_exists?: number | null, checkpoints?: string[], show_all?: boolean}} How
 *   like, picture: ask the library with a part of a video or a picture, in place of a sentence;
 *   what is left out stays as the form has it; null and [] are as usual
 * @returns {{ask: (query: string, how?: How) => void, show: (key: number | null) => void}} what app.ask and app.show are
 */
export function mountAsk(container, app) {
  const questions = createQuestions(app);
  const options = mountOptions(app);
  const field = h("input", { type: "text", inputmode: "search", name: "query", dir: "auto", autocomplete: "off", spellcheck: "true", enterkeyhint: "search", placeholder: "What to look for, in a sentence", "aria-label": "Sentence to look for", title: "Press / to ask" });
  const scope = h("select", { "aria-label": "Where to look" }, h("option", { value: "video" }, "in this video"), h("option", { value: "all" }, "in all videos"));
  const library = libraryRow(scope, app, (picture, name) => ask("", { picture, said: name }));
  const go = h("button", { class: "main", type: "submit" }, "Ask");
  const cancel = h("button", { type: "button", onclick: () => (questions.cancel(), field.focus()) }, "Cancel");
  const past = historyPanel((query) => ((field.value = query), ask(query)));
  const form = h("form", { class: "ask-form", novalidate: true }, h("div", { class: "ask-field" }, field, past.button, past.panel), h("div", { class: "ask-how" }, scope, options.who, options.panels, options.button, go, cancel), library.row);

  function ask(query, { like = null, picture = null, said = null, scope: asked = like || picture ? "library" : scope.value, only = library.only(), show_all = false, ...how } = {}) {
    const sentence = query.trim().replace(/\s+/g, " ");
    const { video, server } = app.state.get();
    const where = asked === "library" && server && !server.library ? "all" : asked; // an address of a server with one
    const whole = where === "library" && (like ?? picture) !== null;
    if (!whole && [...sentence].length > LONGEST) return void (app.notice(`The sentence has ${[...sentence].length.toLocaleString("en")} characters; at most ${LONGEST.toLocaleString("en")} are read. Say it in fewer.`, {}), field.focus());
    if (!sentence && !whole) return void (app.notice("Type a sentence first: what shall be seen?", {}), field.focus());
    if (where === "video" && video === null) return void app.notice("Choose a video first, or look in all videos.", {});
    app.notice(null);
    closePopovers();
    if (!whole) field.value = sentence;
    scope.value = where;
    options.take(how, where);
    const chosen = options.read(where);
    if (where === "library") {
      library.take(only);
      const { checkpoints, checkpoints_asked, top, min_exists } = chosen;
      const body = { ...(whole ? { like, picture } : { query: sentence }), only, checkpoint: checkpoints_asked ? checkpoints[0] : null, top, min_exists, show_all };
      if (!whole) remember(sentence);
      questions.ask(body, { ...chosen, query: whole ? "" : sentence, said, like, picture, videos: null, scope: where, only, show_all });
      region("found").scrollIntoView({ block: "start" });
      return;
    }
    const body = { query: sentence, videos: where === "all" ? null : [video], checkpoints: chosen.checkpoints_asked ? chosen.checkpoints : null, top: chosen.top, min_exists: chosen.min_exists, show_all };
    remember(sentence);
    questions.ask(body, { ...chosen, scope: where });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(field.value);
    if (scope.value === "video") showStage();
    if (window.matchMedia("(pointer: coarse)").matches) field.blur(); // takes the keyboard off the screen
  });
  walkHistory(field);
  bind(["/"], () => (field.focus(), field.select()), { help: "write a sentence" });
  bind(["Escape"], () => (isRunning(app.state.get().question) ? questions.cancel() : app.player.unloop()), { shown: ["esc"], help: "cancel the question; stop looping; leave the sentence" });
  field.addEventListener("keydown", (event) => event.key === "Escape" && field.blur());
  app.state.watch(["question"], ({ question }) => {
    const runs = isRunning(question);
    [go.hidden, cancel.hidden] = [runs, !runs];
  });
  app.state.watchPart(["question"], ({ question }) => [question?.key], ({ question }) => {
    if (!question) return;
    if (question.query) field.value = question.query;
    scope.value = question.scope;
    library.take(question.only ?? "");
  });
  fill(container, form, progress(app), otherQuestions(app, questions.cancel));
  return { ask, show: questions.show };
}

/** What only a question to the library has: which videos, and a picture in place of a sentence; hidden for all others. */
function libraryRow(scope, app, askWith) {
  const only = h("input", { type: "search", class: "ask-only", dir: "auto", maxlength: 200, autocomplete: "off", spellcheck: "false", placeholder: "Only videos named …", "aria-label": "Only videos with these words in name or folder", title: "Words in the video's name or folder" });
  const file = h("input", { type: "file", accept: "image/*", hidden: true });
  const button = h("button", { type: "button", title: "Ask with a picture in place of a sentence", onclick: () => file.click() }, "By picture…");
  const row = h("div", { class: "ask-library", hidden: true }, only, button, file);
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    try {
      askWith(await pictureOf(chosen), chosen.name);
    } catch {
      app.notice(`${chosen.name} is no picture that this browser can show.`, { failed: true });
    }
  });
  const option = h("option", { value: "library" }, "in the library");
  const draw = () => (row.hidden = scope.value !== "library");
  scope.addEventListener("change", draw);
  app.state.watch(["server"], ({ server }) => {
    if (!server?.library || option.isConnected) return;
    scope.append(option);
    option.title = `${server.library.name}: ${server.library.n_videos.toLocaleString("en")} videos`;
    scope.value = "library"; // who names a library wants to ask it
    draw();
  });
  return { row, only: () => only.value.trim(), take: (words) => (scope.value === "library" && (only.value = words), draw()) };
}

/** Sentences of before: arrow up and down in the field. */
function walkHistory(field) {
  let at = -1;
  field.addEventListener("input", () => (at = -1));
  field.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const all = remembered();
    if (by === undefined || event.isComposing || !all.length) return;
    event.preventDefault();
    if (at < 0 && field.value === all[0]) at = 0; // it stands there already
    at = Math.min(all.length - 1, Math.max(-1, at + by));
    field.value = all[at] ?? "";
  });
}

function historyPanel(choose) {
  const list = h("ul", { class: "history" });
  const none = h("p", { class: "soft small" }, "No sentence was asked here yet.");
  const all = h("button", { type: "button", class: "small", onclick: () => (forget(), draw()) }, icon("trash"), "Forget all");
  const { button, panel } = popover({ name: "Sentences asked before", picture: "clock", before: () => draw() }, h("h2", {}, "Asked before"), none, list, all);
  function draw() {
    const queries = remembered();
    none.hidden = queries.length > 0;
    all.hidden = !queries.length;
    fill(list, queries.map(line));
  }
  function line(query) {
    const again = h("button", { class: "quiet history-query", type: "button", onclick: () => (panel.hidePopover(), choose(query)) }, h("span", { class: "long", dir: "auto" }, query));
    const remove = h("button", { class: "quiet icon", type: "button", title: "Forget", "aria-label": `Forget: ${query}`, onclick: () => (forget(query), draw(), panel.querySelector("button")?.focus()) }, icon("trash"));
    return h("li", {}, again, remove);
  }
  return { button, panel };
}

/** The line under the form while a question waits or is read. */
function progress(app) {
  const bar = h("progress", { "aria-label": "Clips read" });
  const line = h("p", { class: "small long", dir: "auto" });
  const element = h("div", { class: "ask-progress", hidden: true }, line, bar);
  const left = createLeft();
  let timer = 0;
  app.state.watch(["question"], ({ question, videos }) => {
    if (!isRunning(question)) {
      clearTimeout(timer);
      timer = 0;
      element.hidden = true;
      return;
    }
    timer ||= setTimeout(() => (element.hidden = false), question.note ? 0 : QUIET_MS);
    const { reading } = question;
    const name = videos.find((one) => one.id === reading?.video)?.name ?? reading?.video;
    line.textContent = progressLine(question, name, left(reading));
    if (reading?.total) [bar.max, bar.value] = [reading.total, reading.done];
    else bar.removeAttribute("value");
    if (!element.hidden) sayNowAndThen(line.textContent, app);
  });
  return element;
}

let saidAt = 0;
/** Screen readers hear of progress every five seconds at most. */
function sayNowAndThen(text, app) {
  const now = performance.now();
  if (now - saidAt < 5000) return;
  saidAt = now;
  app.say(text);
}
