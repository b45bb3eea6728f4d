/** Corrections: windows are drawn on the time axis and in fields, judged, and saved under a person's name. */

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { bind } from "./keys.js";
import { correctionLane } from "./correct/lane.js";
import { Desk } from "./correct/desk.js";
import { absent } from "./correct/draft.js";
import { keptDrafts, keptName } from "./correct/kept.js";
import { peopleRows } from "./correct/people.js";
import { windowRows } from "./correct/rows.js";

/** Show the panel; while somebody corrects, the axis has one lane more. */
export function mountCorrections(container, app) {
  const desk = new Desk(app);
  const lane = correctionLane(desk, app);
  const view = panel(desk, app);
  fill(container, view.element);
  let shown = false;
  desk.onChange(() => {
    const editing = desk.history !== null;
    if (editing !== shown) editing ? app.axis.addLane(lane) : app.axis.removeLane(lane.id);
    shown = editing;
    app.axis.redraw();
    view.draw();
  });
  app.state.watch(["server", "info", "question", "answers"], ({ server, info, question, answers }) => {
    const known = Boolean(server?.corrections.on && info?.duration_s && question?.query && answers.length);
    container.hidden = !known && keptDrafts().length === 0;
    desk.show(known ? { video: info.id, query: question.query, duration_s: info.duration_s } : null);
    view.draw();
  });
  app.state.watch(["videos"], view.draw);
  bindKeys(desk, lane, app);
}

function panel(desk, app) {
  const begin = h("button", { type: "button", "aria-pressed": "false", title: "Correct (c)", onclick: () => desk.toggle() }, icon("edit"), "Correct");
  const about = h("p", { class: "long small", dir: "auto" });
  const whose = h("p", { class: "long soft tiny", dir: "auto" });
  const hint = h("p", { class: "soft small" });
  const people = peopleRows(desk, app);
  const tools = toolsOf(desk, app);
  const message = h("p", { class: "small fix-message", role: "status", dir: "auto" });
  const lost = h("p", { class: "long soft tiny", dir: "auto" });
  const waiting = h("div", { class: "fix-waiting" });
  const body = h("div", { class: "fix-body" }, about, whose, hint, people.element, tools.element, message, lost, waiting);
  const element = h("div", { class: "panel corrections" }, h("div", { class: "panel-head" }, h("h2", {}, "Corrections"), begin), body);
  return {
    element,
    draw() {
      const { subject, history, rows, message: said } = desk;
      begin.hidden = subject === null;
      begin.setAttribute("aria-pressed", String(history !== null));
      about.textContent = subject ? subject.query : "";
      whose.hidden = history === null || app.state.get().answers.length < 2;
      whose.textContent = `answers of ${desk.model}`;
      hint.hidden = subject === null || history !== null || (rows?.length ?? 1) > 0;
      hint.textContent = "Nobody has corrected this yet. What you say here can be trained on.";
      people.draw();
      tools.draw();
      message.textContent = said?.text ?? (desk.isUnsaved ? "Not saved yet; this browser keeps it." : "");
      message.classList.toggle("error", said?.failed ?? false);
      lost.hidden = !desk.problems;
      lost.textContent = desk.problems;
      fill(waiting, unsavedElsewhere(desk, app));
    },
  };
}

/** Fields and buttons of what is drawn. */
function toolsOf(desk, app) {
  const rows = windowRows(desk, app);
  const undecided = h("p", { class: "soft tiny" });
  const none = h("p", { class: "soft small" }, "No window yet: add a moment where the video is (a), draw one on the axis, or say that it is not in this video.");
  const button = (attrs, ...content) => h("button", { type: "button", ...attrs }, ...content);
  const add = button({ onclick: () => desk.add(), title: "Add a window at the playhead (a)" }, icon("plus"), "Add a moment");
  const nowhere = button({ onclick: () => desk.do(absent(!desk.history.now.absent)) }, "Not in this video");
  const undo = button({ class: "quiet", onclick: () => desk.undo(), title: "Undo (ctrl z)" }, "Undo");
  const redo = button({ class: "quiet", onclick: () => desk.redo(), title: "Redo (ctrl shift z)" }, "Redo");
  const name = h("input", { type: "text", id: "fix-who", maxlength: "64", autocomplete: "nickname", required: true, dir: "auto", value: keptName() });
  const save = h("button", { class: "main", type: "submit" }, icon("edit"), "Save correction");
  const discard = button({ class: "quiet", onclick: () => (desk.discard(), leave()) }, "Discard");
  // what had the focus is gone then
  const leave = () => {
    const at = document.activeElement;
    if (desk.history === null && (at === document.body || element.contains(at))) element.closest(".corrections").querySelector(".panel-head button").focus();
  };
  const send = (event) => {
    event.preventDefault();
    const refused = rows.refused();
    if (refused) {
      refused.focus();
      return desk.tell(`Not saved: ${refused.getAttribute("aria-label").toLowerCase()} is not taken; mend it, or press Esc in its field.`);
    }
    desk.save(name.value.trim().normalize()).then(leave);
  };
  const form = h("form", { class: "fix-save", onsubmit: send }, h("label", { class: "small", for: "fix-who" }, "Your name"), name, save, discard);
  const element = h("div", { class: "fix-tools" }, h("div", { class: "fix-buttons", role: "group", "aria-label": "Change the correction" }, add, nowhere, undo, redo), none, rows.element, undecided, form);
  return {
    element,
    draw() {
      const { history } = desk;
      element.hidden = history === null;
      if (!history) return;
      rows.draw();
      none.hidden = history.now.items.length > 0 || history.now.absent;
      nowhere.setAttribute("aria-pressed", String(history.now.absent));
      [undo.disabled, redo.disabled, save.disabled] = [!history.canUndo, !history.canRedo, desk.saving];
      const n = history.now.items.filter((one) => one.verdict === "open").length;
      undecided.hidden = n === 0;
      undecided.textContent = `${n} undecided: nothing is said of ${n === 1 ? "it" : "them"}. Only what is right counts as a moment when a model is trained.`;
      if (document.activeElement !== name && !name.value) name.value = keptName();
    },
  };
}

/** Drafts of other videos and sentences that this browser keeps. */
function unsavedElsewhere(desk, app) {
  const { videos } = app.state.get();
  const others = keptDrafts().filter((one) => one.video !== desk.subject?.video || one.query !== desk.subject?.query);
  const known = others.map((one) => ({ ...one, name: videos.find((video) => video.id === one.video)?.name })).filter((one) => one.name);
  if (!known.length) return null;
  const button = ({ video, query, name }) => {
    const act = async () => {
      await app.openVideo(video);
      app.ask(query, { scope: "video" });
    };
    return h("li", {}, h("button", { class: "quiet", type: "button", onclick: act }, h("span", { class: "clip", dir: "auto" }, `${query} · ${name}`)));
  };
  return [h("h3", {}, "Not saved yet"), h("ul", {}, known.map(button))];
}

function bindKeys(desk, lane, app) {
  const begin = () => {
    desk.toggle();
    if (desk.history && desk.selected !== null) lane.focus(desk.selected);
  };
  bind(["c"], begin, { help: "correct the answers, or look at them again" });
  bind(["a"], () => desk.history && lane.focus(desk.add()), { help: "correcting: add a moment at the playhead" });
  const edge = (_, key) => {
    const part = key === "[" ? "start" : "end";
    if (desk.history && desk.selected !== null) desk.set(desk.selected, part, app.player.time());
  };
  bind(["[", "]"], edge, { help: "correcting: the chosen window starts, ends where the video is" });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement;
    if (!desk.history || typing || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) desk.redo();
    else desk.undo();
  });
}
