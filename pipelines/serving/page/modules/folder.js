/**
 * The list of videos: filtered as one types, grouped by folder, chosen by keyboard or pointer.
 *
 * Only the rows in view are elements, so that ten thousand videos scroll like ten. The list is one stop of the Tab key;
 * aria-activedescendant says which row the keys are at, and that row is always an element.
 */

import { fill, h } from "./dom.js";
import { showStage } from "./narrow.js";
import { sizeOf } from "./sizes.js";
import { baseName, inOrder, laidOut, matching, pathOf, rowAt } from "./video_rows.js";

export { renderResults } from "./results.js";

const AROUND_PX = 240; // rows are made this far above and below what is seen

/** The list, kept at what the page knows. */
export function mountFolder(container, app) {
  const list = new FolderList(container, {
    open: (video) => {
      app.openVideo(video.id);
      showStage({ focus: true });
    },
    refresh: () => app.videosChanged().catch((problem) => app.notice(problem.message, { failed: true })),
  });
  app.state.watch(["videos"], ({ videos }) => list.setVideos(videos));
  app.state.watch(["video"], ({ video }) => list.setOpened(video));
  app.state.watch(["info", "problem"], ({ video, info, problem }) => {
    if (video !== null && (info || problem)) list.setProblem(video, problem);
  });
  app.state.watch(["question"], ({ question }) => list.setFailed(question?.failed ?? []));
}

class FolderList {
  constructor(container, { open, refresh }) {
    this.open = open;
    this.refresh = refresh;
    this.entries = [];
    this.problems = new Map();
    this.opened = null;
    this.active = -1; // among the videos that match
    this.filter = h("input", {
      type: "search",
      id: "folder-filter",
      class: "folder-filter",
      placeholder: "Filter by name",
      "aria-label": "Filter the videos by name or folder",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => this.filtered(),
      onkeydown: (event) => this.leaveFilter(event),
    });
    this.again = h("button", { type: "button", class: "folder-again", onclick: () => this.reload() }, "Refresh");
    this.count = h("p", { class: "folder-count", role: "status" });
    this.rows = h("div", { class: "folder-rows", role: "presentation" });
    this.list = h(
      "div",
      {
        class: "folder-list",
        role: "listbox",
        tabindex: "0",
        "aria-label": "Videos",
        onscroll: () => this.drawSoon(),
        onkeydown: (event) => this.key(event),
        onmousedown: () => (this.pressed = true),
        onblur: () => (this.pressed = false),
        onclick: (event) => this.click(event),
        onfocus: () => this.pressed || this.focused(), // rows drawn anew under a pressed button would get no click
      },
      this.rows,
    );
    this.detail = h("p", { class: "folder-detail", id: "folder-detail" });
    fill(container, h("div", { class: "folder-head" }, this.filter, this.again), this.count, this.list, this.detail);
    this.headingRow = h("div", { class: "folder-heading", "aria-hidden": "true" }, "x");
    this.videoRow = h("div", { class: "folder-video", "aria-hidden": "true" }, "x");
    new ResizeObserver(() => this.layOut()).observe(this.list);
    this.filtered();
  }

  /** Takes a list of GET /api/videos; the video that the keys were at stays so. */
  setVideos(videos) {
    const at = this.at();
    this.entries = inOrder(videos);
    this.filtered(at?.id);
  }

  /** Marks the video that the page shows. @param {string | null} id */
  setOpened(id) {
    if (this.opened === id) return;
    this.opened = id;
    const place = this.shown.findIndex(({ video }) => video.id === id);
    if (place >= 0 && document.activeElement !== this.list) this.moveTo(place);
    this.draw();
  }

  /** Marks a video as one that cannot be read, or as mended. @param {string} id @param {string | null} line */
  setProblem(id, line) {
    if (line === null) this.problems.delete(id);
    else this.problems.set(id, line);
    this.draw();
  }

  /** Marks the videos that a question could not read. @param {{video: string, problem: string}[]} failed */
  setFailed(failed) {
    if (failed.every(({ video }) => this.problems.has(video))) return;
    for (const { video, problem } of failed) this.problems.set(video, problem);
    this.draw();
  }

  at() {
    return this.shown?.[this.active]?.video;
  }

  problemOf(video) {
    return this.problems.get(video.id) ?? null;
  }

  async reload() {
    this.again.disabled = true;
    try {
      await this.refresh();
    } finally {
      this.again.disabled = false;
    }
  }

  filtered(id = this.at()?.id) {
    this.shown = matching(this.entries, this.filter.value);
    this.active = this.shown.findIndex(({ video }) => video.id === id);
    const [n, all] = [this.shown.length, this.entries.length].map((one) => one.toLocaleString("en"));
    const noun = this.entries.length === 1 ? "video" : "videos";
    this.count.textContent = this.filter.value.trim() ? `${n} of ${all} ${noun}` : `${all} ${noun}`;
    this.list.hidden = this.shown.length === 0;
    this.list.scrollTop = 0;
    this.layOut();
    if (this.active >= 0) this.moveTo(this.active);
  }

  layOut() {
    this.rows.append(this.headingRow, this.videoRow); // how high rows are depends on the size of letters
    const [headingPx, videoPx] = [this.headingRow, this.videoRow].map((row) => row.offsetHeight || 40);
    this.layout = laidOut(this.shown, headingPx, videoPx);
    this.rows.style.setProperty("--height", `${this.layout.tops.at(-1)}px`);
    this.draw();
  }

  drawSoon() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = undefined;
    const { rows, tops, indices } = this.layout;
    const top = this.list.scrollTop;
    const drawn = [];
    if (rows.length) {
      const first = rowAt(tops, Math.max(0, top - AROUND_PX));
      const last = rowAt(tops, top + this.list.clientHeight + AROUND_PX);
      const active = indices[this.active];
      if (active < first) drawn.push(this.row(active));
      for (let k = first; k <= last; k += 1) drawn.push(this.row(k));
      if (active > last) drawn.push(this.row(active));
    }
    fill(this.rows, drawn);
    const at = this.at();
    if (at) this.list.setAttribute("aria-activedescendant", `folder-video-${indices[this.active]}`);
    else this.list.removeAttribute("aria-activedescendant");
    this.detail.textContent = at ? (this.problemOf(at) ?? pathOf(at)) : "";
    this.detail.classList.toggle("is-problem", Boolean(at && this.problemOf(at)));
  }

  row(k) {
    const { heading, n, video, place } = this.layout.rows[k];
    const vars = { "--top": `${this.layout.tops[k]}px` };
    if (!video) {
      const name = heading || "not in a folder";
      return h("div", { class: "folder-heading", "aria-hidden": "true", vars }, h("bdi", {}, name), h("span", {}, n));
    }
    const problem = this.problemOf(video);
    const badges = badgesOf(video, problem);
    return h(
      "div",
      {
        class: `folder-video${place === this.active ? " is-active" : ""}`,
        id: `folder-video-${k}`,
        role: "option",
        "aria-selected": String(video.id === this.opened),
        "aria-setsize": this.shown.length,
        "aria-posinset": place + 1,
        "aria-label": [pathOf(video), ...badges.map(({ said }) => said)].join(", "),
        data: { place },
        vars,
      },
      h("bdi", { class: "folder-name" }, baseName(video)),
      h(
        "span",
        { class: "folder-facts" },
        h("span", { class: "folder-size" }, sizeOf(video.size_bytes)),
        badges.map(({ kind, text }) => h("span", { class: `folder-badge is-${kind}` }, text)),
      ),
    );
  }

  moveTo(place) {
    this.active = Math.max(0, Math.min(this.shown.length - 1, place));
    const { tops, indices, rows } = this.layout;
    const k = indices[this.active];
    const from = k > 0 && rows[k - 1].heading !== undefined ? tops[k - 1] : tops[k];
    if (from < this.list.scrollTop) this.list.scrollTop = from;
    const below = tops[k + 1] - this.list.clientHeight;
    if (below > this.list.scrollTop) this.list.scrollTop = below;
    this.draw();
  }

  focused() {
    if (this.active < 0 && this.shown.length) {
      const opened = this.shown.findIndex(({ video }) => video.id === this.opened);
      this.moveTo(Math.max(0, opened));
    }
  }

  leaveFilter(event) {
    if (event.isComposing) return;
    if (["ArrowDown", "Enter"].includes(event.key) && this.shown.length) {
      event.preventDefault();
      this.list.focus();
      this.moveTo(Math.max(0, this.active));
      if (event.key === "Enter" && this.shown.length === 1) this.choose();
    }
    if (event.key === "Escape" && this.filter.value) {
      event.preventDefault();
      event.stopPropagation();
      this.filter.value = "";
      this.filtered();
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.list.clientHeight / (this.videoRow.offsetHeight || 40)) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.moveTo(this.active + steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.choose();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  click(event) {
    this.pressed = false;
    const row = event.target.closest("[data-place]");
    if (!row) return;
    this.moveTo(Number(row.dataset.place));
    this.choose();
  }

  choose() {
    const video = this.at();
    if (video) this.open(video);
  }
}

/** What stands beside a name, and how it is read out. */
function badgesOf(video, problem) {
  const badges = [];
  if (problem) badges.push({ kind: "broken", text: "broken", said: `broken: ${problem}` });
  if (video.has_truth) badges.push({ kind: "truth", text: "truth", said: "has true windows" });
  const n = video.n_corrections;
  if (n) badges.push({ kind: "corrected", text: `✎ ${n}`, said: `${n} correction${n === 1 ? "" : "s"}` });
  return badges;
}
