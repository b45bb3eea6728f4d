/** Videos that are sent to the server, in pieces, where it takes them. */

import { ApiError, get, path, pause, post, problemOf, setAway } from "./api.js";
import { fill, h } from "./dom.js";
import { sizeOf } from "./sizes.js";

const PIECE_BYTES = 4 * 2 ** 20;
const MOST_TRIES = 8; // of one piece, before the person is asked

/** A place to drop files; empty where the server takes none. */
export function mountUploads(container, app) {
  let made = false;
  app.state.watch(["server"], ({ server }) => {
    if (made || !server?.uploads.on) return;
    made = true;
    build(container, app, server.uploads.limit_bytes);
  });
}

function build(container, app, limitBytes) {
  const chosen = h("input", { type: "file", class: "unseen", multiple: true, accept: "video/*,.mkv,.mts,.m2ts,.mxf,.ts", tabindex: "-1", "aria-hidden": "true" });
  const choose = h("button", { type: "button", onclick: () => chosen.click() }, "Add videos…");
  const note = h("span", { class: "soft tiny" }, `or drop them here; up to ${sizeOf(limitBytes)} each`);
  const drop = h("div", { class: "uploads-drop" }, choose, note, chosen);
  const list = h("ul", { class: "uploads-list", "aria-label": "Uploads" });
  fill(container, h("div", { class: "uploads" }, drop, list));
  let queue = Promise.resolve(); // one file after the other: they share the line
  const take = (files) => {
    for (const file of files) {
      const row = new Row(file, list, app);
      queue = queue.then(() => row.send());
    }
  };
  chosen.addEventListener("change", () => {
    take([...chosen.files]);
    chosen.value = "";
  });
  drop.addEventListener("dragenter", (event) => allow(event, drop));
  drop.addEventListener("dragover", (event) => allow(event, drop));
  drop.addEventListener("dragleave", () => drop.classList.remove("is-over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("is-over");
    take([...event.dataTransfer.files]);
  });
}

function allow(event, drop) {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  drop.classList.add("is-over");
}

/** One file: how far it is, and what to press. */
class Row {
  constructor(file, list, app) {
    this.file = file;
    this.app = app;
    this.stopped = new AbortController();
    this.begun = {};
    this.bar = h("progress", { max: Math.max(1, file.size), value: 0, "aria-label": `Sent of ${file.name}` });
    this.line = h("p", { class: "uploads-line soft", dir: "auto" }, "Waiting");
    this.press = h("button", { type: "button", class: "quiet", onclick: () => this.pressed() }, "Stop");
    this.whole = h("li", { class: "uploads-file" }, h("span", { class: "clip", dir: "auto", title: file.name }, file.name), this.press, this.bar, this.line);
    list.append(this.whole);
  }

  /** Sends the file, or what is left of it. */
  async send() {
    if (this.stopped.signal.aborted) return;
    this.failed = false;
    this.press.textContent = "Stop";
    try {
      this.say("Sending");
      const video = await sendFile(this.file, this.stopped.signal, (received) => this.show(received), this.begun);
      await this.app.videosChanged();
      this.whole.remove();
      const name = this.app.state.get().videos.find(({ id }) => id === video)?.name.split("/").at(-1) ?? this.file.name;
      // another one of that name is there: nothing is written over
      if (name !== this.file.name) this.app.notice(`${this.file.name} was added as ${name}`);
      this.app.say(`${this.file.name} was added${name === this.file.name ? "" : ` as ${name}`}`);
      if (video) this.app.openVideo(video);
    } catch (problem) {
      if (this.stopped.signal.aborted) return;
      this.failed = true;
      this.line.classList.add("error");
      this.say(problem.message);
      this.app.say(`${this.file.name}: ${problem.message}`);
      this.press.textContent = problem.status === 0 ? "Go on" : "Close";
      this.mayGoOn = problem.status === 0;
      this.bar.hidden = !this.mayGoOn;
    }
  }

  show(received) {
    this.bar.value = received;
    this.line.classList.remove("error");
    this.say(`${sizeOf(received)} of ${sizeOf(this.file.size)}`);
  }

  say(text) {
    this.line.textContent = text;
  }

  pressed() {
    if (this.failed && this.mayGoOn) return this.send();
    this.stopped.abort(new DOMException("stopped", "AbortError"));
    this.whole.remove();
    return null;
  }
}

/**
 * Sends a file in pieces and goes on where the server has it after a lost connection.
 *
 * @param {File} file
 * @param {AbortSignal} signal
 * @param {(received: number) => void} show
 * @param {{id: string, received: number}} [begun] an upload to go on with; kept up to date
 * @returns {Promise<string | null>} the id of the video that it became
 * @throws {ApiError} what the server refuses; status 0 where it does not answer
 */
export async function sendFile(file, signal, show, begun = {}) {
  let video = null;
  for (let tries = 0; !begun.id || begun.received < file.size; ) {
    if (!begun.id) Object.assign(begun, await begin(file, signal));
    show(begun.received);
    const reply = await putPiece(begun, file, signal);
    if (reply.gone) {
      const there = await arrived(file, signal);
      if (there) return there;
      begun.id = null; // the server was started anew, and knows nothing of it
    } else {
      tries = reply.received > begun.received ? 0 : tries;
      begun.received = reply.received ?? begun.received;
      video = reply.video ?? null;
    }
    if (!reply.problem) continue;
    tries += 1;
    if (tries > MOST_TRIES) throw reply.problem;
    await pause(Math.min(10_000, 250 * 2 ** tries), signal);
  }
  show(file.size);
  return video;
}

/** The video that a file has become, where the word of that was lost with the connection; else null. */
async function arrived(file, signal) {
  const { videos } = await get(path("videos"), { signal });
  const same = videos.find(({ name, size_bytes }) => size_bytes === file.size && name.split("/").at(-1) === file.name);
  return same?.id ?? null;
}

function begin(file, signal) {
  return post(path("uploads"), { name: file.name, size_bytes: file.size }, { signal });
}

/** Sends the next piece. @returns {Promise<{received?: number, video?: string, gone?: boolean, problem?: ApiError}>} */
async function putPiece({ id, received }, file, signal) {
  const address = `${path("uploads", id)}?at=${received}`;
  const headers = { "Content-Type": "application/octet-stream" };
  const body = file.slice(received, received + PIECE_BYTES);
  let reply;
  try {
    reply = await fetch(address, { method: "PUT", headers, credentials: "same-origin", cache: "no-store", body, signal });
  } catch (problem) {
    if (signal.aborted) throw problem;
    setAway(true);
    return { problem: new ApiError("the connection was lost; what was sent is kept", 0) };
  }
  setAway(false);
  if (reply.ok) return reply.json();
  const said = await reply.clone().json().catch(() => ({}));
  const problem = new ApiError(await problemOf(reply), reply.status);
  // the server has more or less than it seemed, or still holds the line that broke
  if (reply.status === 409 && Number.isInteger(said.received)) return { received: said.received, problem };
  if (reply.status === 404 && received > 0) return { gone: true, problem };
  throw problem;
}
