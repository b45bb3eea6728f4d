/** The correction of the shown video and sentence: what is drawn, what is chosen in it, what was saved by whom. */

import { get, path, post } from "../api.js";
import { disagreements } from "./agreement.js";
import { added, beginning, freeKey, History, moved, placed, said, saysSomething } from "./draft.js";
import { forgetDraft, isName, keepDraft, keepName, keptDraft, keptName, onOtherTabs } from "./kept.js";
import { edgeAt } from "./typed.js";

const NARROW_PX = 16; // below it edges are hard to take hold of, and the axis is zoomed
const NEW_S = 4; // seconds of a window that is added without being drawn

export class Desk {
  /** The last row of each person about the shown video and sentence; null before they came. */
  rows = null;
  problems = "";
  /** History of what is drawn, or null while nobody corrects. */
  history = null;
  selected = null;
  /** One line about the last save: {text, failed}. */
  message = null;
  saving = false;
  #tellers = new Set();
  #resumed = false;
  #waits = false;
  #reading = new AbortController();

  constructor(app) {
    this.app = app;
    this.subject = null;
    onOtherTabs((changed) => this.#follow(changed));
  }

  /** What was drawn in another tab is drawn here, too, so that neither overwrites the other unseen. */
  #follow(changed) {
    const { subject, history } = this;
    if (subject && history && changed(subject.video, subject.query)) {
      const kept = keptDraft(subject.video, subject.query);
      if (kept) {
        history.do(() => kept.now, "another tab");
        this.#resumed = true;
        if (!this.item(this.selected)) this.selected = null;
        this.message = { text: "Drawn in another tab; undo brings back what was here.", failed: false };
      } else {
        this.history = null;
        this.message = { text: "Saved or discarded in another tab.", failed: false };
        this.read();
      }
    }
    this.changed();
  }

  /** Call `fn()` after every change. */
  onChange(fn) {
    this.#tellers.add(fn);
  }

  changed() {
    const { history, selected } = this;
    this.app.state.set({ draft: history && { ...history.now, selected } });
    for (const one of this.#tellers) one();
  }

  /** The shown video and sentence are these now: {video, query, duration_s} or null; what was drawn of others is kept. */
  show(subject) {
    if (subject?.video === this.subject?.video && subject?.query === this.subject?.query) return;
    const before = this.subject;
    if (this.isUnsaved) this.app.say(`Your correction of “${before.query}” is not saved yet; this browser keeps it.`);
    Object.assign(this, { subject, rows: null, history: null, selected: null, message: null });
    this.#waits = false;
    if (subject && keptDraft(subject.video, subject.query)) this.open();
    this.changed();
    this.read();
  }

  /** Ask for what people saved. */
  async read() {
    this.#reading.abort();
    this.#reading = new AbortController();
    const { subject } = this;
    const { signal } = this.#reading;
    if (!subject) return;
    try {
      const asked = new URLSearchParams({ video: subject.video, query: subject.query });
      const found = await get(`${path("corrections")}?${asked}`, { signal });
      this.rows = found.rows;
      this.problems = found.n_problems ? `Shown of no video: ${found.n_problems} of the corrections. ${found.problem}` : "";
    } catch (problem) {
      if (signal.aborted) return;
      this.message = { text: problem.message, failed: true };
    }
    if (this.#waits && !this.history) this.open();
    this.#waits = false;
    this.changed();
  }

  /** Begin to correct as soon as it is known what people saved, or end it. */
  toggle() {
    if (this.history) this.close();
    else if (this.rows === null && this.message === null) this.#waits = this.subject !== null;
    else if (this.subject) this.open();
  }

  /** The answer that is corrected: of the checkpoint whose moment is chosen, or the first. */
  get answer() {
    const { answers, moment } = this.app.state.get();
    return answers.find((one) => one.checkpoint === moment?.checkpoint) ?? answers[0] ?? null;
  }

  /** What this person saved before, or null. */
  get own() {
    const name = keptName().normalize().toLowerCase();
    return this.rows?.find((one) => one.by.normalize().toLowerCase() === name) ?? null;
  }

  get isUnsaved() {
    return this.history !== null && this.subject !== null && keptDraft(this.subject.video, this.subject.query) !== null;
  }

  /** Begin to correct; what was drawn before and not saved is there again. */
  open() {
    const kept = keptDraft(this.subject.video, this.subject.query);
    this.#resumed = kept !== null;
    this.model = kept?.model ?? this.answer?.checkpoint ?? "";
    this.history = new History(kept?.now ?? beginning(this.answer?.moments ?? [], this.own));
    this.selected = this.history.now.items[0]?.key ?? null;
    this.message = null;
    this.changed();
  }

  /** Look at the answers again; what is drawn is kept. */
  close() {
    this.history = null;
    this.changed();
  }

  /** Throw away what is drawn. */
  discard() {
    forgetDraft(this.subject.video, this.subject.query);
    this.close();
  }

  /** Take another person's row as what is drawn. */
  takeOver(row) {
    if (!this.history) this.open();
    this.do(() => beginning(this.answer?.moments ?? [], row));
  }

  do(step, kind = null) {
    this.history.do(step, kind);
    this.#keep();
  }

  undo() {
    this.history?.undo();
    if (this.history) this.#keep();
  }

  redo() {
    this.history?.redo();
    if (this.history) this.#keep();
  }

  #keep() {
    const { video, query } = this.subject;
    if (this.history.canUndo || this.#resumed) keepDraft({ video, query, now: this.history.now, model: this.model });
    else forgetDraft(video, query);
    this.message = null;
    if (!this.history.now.items.some((one) => one.key === this.selected)) this.selected = null;
    this.changed();
  }

  select(key) {
    this.selected = key;
    this.changed();
  }

  item(key) {
    return this.history?.now.items.find((one) => one.key === key) ?? null;
  }

  /** Add a window from `start_s`, by default where the video is. */
  add(start_s = this.app.player.time(), end_s = start_s + NEW_S, kind = null) {
    const key = freeKey(this.history.now);
    this.selected = key;
    this.do(added(start_s, end_s, this.subject.duration_s), kind);
    const item = this.item(key);
    if (kind === null && (item.end_s - item.start_s) / this.app.axis.view().scale < NARROW_PX) this.app.axis.zoomTo(item.start_s, item.end_s);
    return key;
  }

  /** Put a window somewhere else. */
  place(key, start_s, end_s, kind = null) {
    this.do(placed(key, start_s, end_s, this.subject.duration_s), kind);
  }

  /** Put one edge ("start" or "end") or all of a window ("whole") somewhere else. */
  put(key, part, seconds, kind = null) {
    const item = this.item(key);
    if (!item || !Number.isFinite(seconds)) return;
    const { duration_s } = this.subject;
    this.selected = key;
    if (part === "whole") return this.do(moved(key, seconds, duration_s), kind);
    const [start, end] = part === "start" ? [Math.min(seconds, item.end_s - 0.1), item.end_s] : [item.start_s, Math.max(seconds, item.start_s + 0.1)];
    this.do(placed(key, start, end, duration_s), kind);
  }

  /** Let a window start or end there, or say why it cannot: its other edge stays where it is. */
  set(key, part, seconds) {
    const { problem, seconds: there } = edgeAt(seconds, part, this.item(key), this.subject.duration_s);
    if (problem) this.#say(problem, true);
    else this.put(key, part, there);
  }

  /** Send what is drawn. */
  async save(name) {
    const { subject, history } = this;
    if (this.saving) return;
    if (!saysSomething(history.now)) return this.#say("Nothing is said yet: mark a window as right or wrong, add one, or say that it is not in this video.", true);
    if (!isName(name)) return this.#say("Your name: 1 to 64 letters, digits, spaces, - _ or . of any script, and no point at its ends.", true);
    keepName(name);
    this.saving = true;
    this.changed();
    try {
      const model = this.model ? { model: this.model } : {};
      const row = await post(path("corrections"), { name, video: subject.video, query: subject.query, ...said(history.now), ...model });
      keepName(row.by);
      forgetDraft(subject.video, subject.query);
      this.#say(`Saved as ${row.by}’s.`, false);
      if (this.subject === subject) this.history = null;
      await Promise.all([this.read(), this.app.truthChanged(), this.app.videosChanged()]);
      const others = this.subject === subject ? disagreements(this.rows ?? []).flatMap(({ names }) => (names.includes(row.by) ? names.filter((name) => name !== row.by) : [])) : [];
      if (others.length) this.#say(`Saved as ${row.by}’s. ${listed(others)} ${others.length > 1 ? "disagree" : "disagrees"} about this.`, false);
    } catch (problem) {
      this.#say(problem.message, true);
    } finally {
      this.saving = false;
      this.changed();
    }
  }

  /** One line about what cannot be done. */
  tell(text) {
    this.#say(text, true);
  }

  #say(text, failed) {
    this.message = { text, failed };
    if (!failed) this.app.say(text);
    this.changed();
  }
}

/** "Ana", "Ana and Bob", "Ana, Bob and Cem" */
function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
