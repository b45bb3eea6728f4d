/** Answers and moments to take along: files of the question, cuts, a link, and the command that asks the same. */

import { path, post, postForFile } from "./api.js";
import { groundCommand, searchCommand } from "./command.js";
import { fill, h } from "./dom.js";
import { fileName } from "./file_names.js";
import { icon } from "./icons.js";
import { noteOf, nothingOf } from "./left_out.js";
import { linkTo, openLinked } from "./moment_link.js";
import { span } from "./times.js";

const FORMATS = {
  csv: "CSV: a row per moment",
  json: "JSON: everything",
  srt: "SRT subtitles",
  vtt: "WebVTT subtitles",
  edl: "EDL",
  fcpxml: "FCPXML: Final Cut Pro, Resolve",
  xml: "XML: Premiere, Final Cut 7",
  otio: "OpenTimelineIO",
  "markers.csv": "CSV of markers",
  chapters: "Chapters for FFmpeg",
};
const PER_VIDEO = new Set(["srt", "vtt", "chapters"]);
const TIMELINES = new Set(["edl", "fcpxml", "xml", "otio", "markers.csv"]);

const ALL = ["all", "All videos"];
const ONE = ["video", "This video"];

/** Cuts a moment of the page's panel or of a list; set when the panel is there. */
let cutOut = async () => {};

/** The panel: shown as soon as there is an answer. */
export function mountExports(container, app) {
  const panel = new Exports(container, app);
  cutOut = (video, moment) => panel.cut(video, moment);
  openLinked(app);
  app.state.watch(["server"], ({ server }) => server && panel.setFormats(server.formats));
  app.state.watch(["question", "video", "moment", "server"], (now) => panel.draw(now));
}

/**
 * A button that cuts one moment out, as the panel says how; null where there is none.
 *
 * @returns {HTMLElement | null}
 */
export function cutButton(app, video, moment) {
  if (video === null || !moment) return null;
  const label = `Cut out ${span(moment.start_s, moment.end_s)}`;
  const button = h("button", { type: "button", class: "quiet icon", "aria-label": label, title: label }, icon("cut"));
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    whileDisabled(button, () => cutOut(video, moment));
  });
  return button;
}

class Exports {
  constructor(container, app) {
    this.container = container;
    this.app = app;
    this.format = select("Format", Object.entries(FORMATS));
    this.shape = select("Timeline", [["", "As usual"], ["cut", "Rough cut"], ["markers", "Markers"]]);
    this.which = select("Answers", [ALL, ONE]);
    this.model = select("Checkpoint", []);
    this.mode = select("Cut", [["exact", "Exact, encoded anew"], ["copy", "Quick, from the key frame before"]]);
    this.save = button("save", "Save", () => this.download(), "main");
    this.command = button("", "Copy as command", () => this.copyCommand());
    this.cutOne = button("cut", "Cut out", () => this.cut(this.now.video, this.now.moment));
    this.link = button("", "Copy link", () => this.copyLink());
    this.alike = button("", "More like this", () => moreLike(app, this.now.video, this.now.moment));
    this.moment = h("fieldset", { class: "exports-moment" });
    this.files = h("ul", { class: "exports-files", "aria-label": "Cuts" });
    this.copied = h("div", { class: "exports-copied", hidden: true });
    this.problem = h("p", { class: "exports-problem error long", role: "alert", dir: "auto" });
    this.wanted = "all";
    this.which.field.addEventListener("change", () => (this.wanted = this.which.field.value));
    for (const { field } of [this.format, this.shape, this.which, this.model]) field.addEventListener("change", () => this.draw(this.now));
    this.note = h("p", { class: "exports-left soft small long", role: "status", dir: "auto" });
    fill(
      container,
      h("div", { class: "panel exports" },
        h("div", { class: "panel-head" }, h("h2", {}, "Take along")),
        h("div", { class: "exports-body" },
          h("div", { class: "exports-row" }, [this.format, this.shape, this.which, this.model].map(({ whole }) => whole), this.save),
          this.note,
          this.moment,
          h("div", { class: "exports-row" }, this.command),
          this.copied, this.files, this.problem)),
    );
  }

  setFormats(formats) {
    const known = Object.keys(FORMATS).filter((name) => formats.includes(name));
    const others = formats.filter((name) => !(name in FORMATS));
    this.format.set([...known, ...others].map((name) => [name, FORMATS[name] ?? name]));
  }

  draw(now) {
    this.now = now;
    const { question, video, moment } = now;
    const found = question?.found?.moments ?? [];
    const answered = question?.answers?.length > 0 || found.length > 0;
    this.container.hidden = !answered && !moment;
    if (this.container.hidden) return;
    for (const whole of [this.format.whole, this.save, this.command]) whole.hidden = !answered;
    this.command.hidden ||= Boolean(question?.picture);
    this.alike.hidden = !now.server?.library;
    this.shape.whole.hidden = !answered || !TIMELINES.has(this.format.field.value);
    const own = answered && [...question.answers, ...found].some(({ video_id }) => video_id === video);
    const single = PER_VIDEO.has(this.format.field.value);
    this.which.set(single ? [ONE] : [ALL, ONE]);
    if (!single) this.which.field.value = this.wanted;
    this.which.whole.hidden = !["all", "library"].includes(question?.scope) || !own;
    const asked = question?.checkpoints ?? [];
    this.model.whole.hidden = asked.length < 2 || !answered;
    this.model.set(asked.map((name) => [name, name]));
    this.drawNote(answered);
    this.moment.hidden = !moment || video === null;
    if (moment && this.drawn !== moment) {
      this.drawn = moment;
      const legend = h("legend", {}, "Moment ", h("span", { class: "number" }, span(moment.start_s, moment.end_s)));
      fill(this.moment, legend, h("div", { class: "exports-row" }, this.mode.whole, this.cutOne, this.link, this.alike));
    }
  }

  /** The answers that would be written. */
  get chosen() {
    const { question, video } = this.now;
    const model = this.model.whole.hidden ? question.checkpoints?.[0] : this.model.field.value;
    const answers = question.scope === "library" ? byVideo(question.found) : question.answers;
    return answers.filter((one) => one.checkpoint === model && (!this.isOne || one.video_id === video));
  }

  get isOne() {
    return !this.which.whole.hidden && this.which.field.value === "video";
  }

  /** Says beside the format what a file of it would lack, or that there is nothing to write. */
  drawNote(answered) {
    const answers = answered ? this.chosen : [];
    const format = this.format.field.value;
    this.empty = answers.length ? nothingOf(format, answers) : null;
    const note = this.empty ?? noteOf(format, this.shape.field.value, answers) ?? "";
    if (this.note.textContent !== note) this.note.textContent = note;
    if (this.empty) this.save.setAttribute("aria-disabled", "true");
    else if (!this.saving) this.save.removeAttribute("aria-disabled");
  }

  /** Asks for the file and hands it to the browser; changes and files come by JSON requests alone. */
  async download() {
    const { question, video } = this.now;
    const format = this.format.field.value;
    const body = { question: question.id, format, videos: this.isOne ? [video] : null, shape: null };
    if (TIMELINES.has(format) && this.shape.field.value) body.shape = this.shape.field.value;
    if (!this.model.whole.hidden) body.checkpoint = this.model.field.value;
    this.saving = true;
    await this.trying(async () => {
      const reply = await postForFile(path("exports"), body);
      const name = fileName(reply.headers.get("Content-Disposition")) ?? `moments.${format}`;
      const address = URL.createObjectURL(await reply.blob());
      saved(address, name);
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
      this.app.say(`Saved ${name}`);
    });
    this.saving = false;
    this.drawNote(true);
  }

  /** Cuts one moment out; its file is saved, and stays in the panel as a link. */
  async cut(video, moment) {
    this.container.hidden = false;
    const row = h("li", { class: "exports-file" }, `Cutting ${span(moment.start_s, moment.end_s)}…`);
    this.files.prepend(row);
    this.app.say(row.textContent);
    const body = { video, start_s: moment.start_s, end_s: moment.end_s, mode: this.mode.field.value };
    const made = await this.trying(() => post(path("cuts"), body));
    if (!made) return row.remove();
    const link = h("a", { href: made.url, download: made.name, class: "long", dir: "auto" }, made.name);
    const times = made.start_s === undefined ? "" : span(made.start_s, made.end_s);
    fill(row, link, h("span", { class: "soft" }, ` ${times}`), made.note && h("span", { class: "exports-note soft" }, made.note));
    link.click();
    this.app.say(`Cut out: ${made.name}`);
  }

  async copyCommand() {
    const { question, server } = this.now;
    const { videos } = this.app.state.get();
    if (question.scope === "library") {
      const line = searchCommand(question, videos, server);
      return this.copy(line, question.like ? "Copied; type it in the folder that all videos lie below" : "Copied");
    }
    const command = groundCommand(question, videos, server?.checkpoints ?? []);
    await this.copy(command, "Copied; type it in the folder that is served");
  }

  async copyLink() {
    const { video, moment } = this.now;
    await this.copy(linkTo(window.location.href, video, moment), "Copied");
  }

  /** Copies a text and shows it: where the browser has no clipboard for this page it is copied by hand. */
  async copy(text, done) {
    const field = h("textarea", { class: "exports-text", readonly: true, rows: text.split("\n").length + 1, "aria-label": "What was copied" });
    field.value = text;
    const said = h("p", { class: "small soft" });
    fill(this.copied, said, field);
    this.copied.hidden = false;
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = done;
    } catch {
      said.textContent = "Press Ctrl+C, or ⌘C, to copy:";
      field.focus();
      field.select();
    }
    this.app.say(said.textContent);
  }

  /** Runs it; a refusal is shown as the line that the server says. */
  async trying(act) {
    this.problem.textContent = "";
    try {
      return await act();
    } catch (problem) {
      this.problem.textContent = problem.message;
      return null;
    }
  }
}

/** Asks the library for what looks like a moment. */
export function moreLike(app, video, { start_s, end_s }) {
  const [start, end] = [start_s, end_s].map((time) => Math.round(1000 * time) / 1000);
  app.ask("", { like: { video, start_s: start, end_s: end } });
}

/** The library's moments as answers about one video each. */
function byVideo(found) {
  const answers = new Map();
  for (const one of found?.moments ?? []) {
    const key = one.video_id ?? one.video;
    if (!answers.has(key)) answers.set(key, { video_id: one.video_id, checkpoint: found.checkpoint, nothing: null, moments: [] });
    answers.get(key).moments.push({ ...one, score: one.score ?? 0 });
  }
  return [...answers.values()];
}

function saved(address, name) {
  const link = h("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

/** A labelled field with choices; `set` keeps what was chosen where it is still there. */
function select(label, choices) {
  const id = `exports-${label.toLowerCase()}`;
  const field = h("select", { id });
  const whole = h("div", { class: "exports-field" }, h("label", { for: id }, label), field);
  let now = "";
  const set = (pairs) => {
    if (JSON.stringify(pairs) === now) return;
    now = JSON.stringify(pairs);
    const chosen = field.value;
    fill(field, pairs.map(([value, text]) => h("option", { value }, text)));
    if (pairs.some(([value]) => value === chosen)) field.value = chosen;
  };
  set(choices);
  return { field, whole, set };
}

function button(picture, text, press, kind = "") {
  const made = h("button", { type: "button", class: kind }, picture && icon(picture), text);
  made.addEventListener("click", () => whileDisabled(made, press));
  return made;
}

async function whileDisabled(pressed, act) {
  if (pressed.getAttribute("aria-disabled") === "true") return;
  pressed.setAttribute("aria-disabled", "true"); // unlike disabled, it keeps the focus
  try {
    await act();
  } finally {
    pressed.removeAttribute("aria-disabled");
  }
}
