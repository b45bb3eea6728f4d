/** What is shown, in the address: a reload shows the same, and back goes back. */

import { usualTop } from "./asked.js";

const SCOPES = ["all", "library"];

/**
 * @param {string} [search] of the address
 * @returns {{video: string | null, query: string | null, scope: "video" | "all" | "library", top: number | null, min_exists: number | null,
 *   show_all: boolean, checkpoints: string[], only: string, like: {video: string, start_s: number, end_s: number} | null}} null, false and []: as usual
 */
export function readPlace(search = window.location.search) {
  const asked = new URLSearchParams(search);
  const top = Number(asked.get("top"));
  const least = Number.parseFloat(asked.get("least") ?? "");
  return {
    video: asked.get("video"),
    query: asked.get("query"),
    scope: SCOPES.includes(asked.get("scope")) ? asked.get("scope") : "video",
    top: Number.isInteger(top) && top > 0 ? top : null,
    min_exists: least >= 0 && least <= 1 ? least : null,
    show_all: asked.get("show") === "all",
    checkpoints: asked.getAll("checkpoint"),
    only: asked.get("only") ?? "",
    like: partOf(asked.get("like")),
  };
}

/** "kitchen-3f2a@12-16.5" as a part of a video, or null. */
function partOf(text) {
  const [, video, start, end] = /^(.+)@(\d{1,7}(?:\.\d+)?)-(\d{1,7}(?:\.\d+)?)$/u.exec(text ?? "") ?? [];
  return video && Number(start) < Number(end) ? { video, start_s: Number(start), end_s: Number(end) } : null;
}

/** The address of what is shown, from its question mark on; empty where nothing is. */
export function placeOf({ video, question }) {
  const asked = new URLSearchParams();
  if (video !== null) asked.set("video", video);
  if (question && !question.picture && (question.scope !== "video" || question.videos.includes(video))) {
    const { like } = question;
    if (like) asked.set("like", `${like.video}@${like.start_s}-${like.end_s}`);
    else asked.set("query", question.query);
    if (question.scope !== "video") asked.set("scope", question.scope);
    if (question.only) asked.set("only", question.only);
    if (question.top !== usualTop(question.scope)) asked.set("top", String(question.top));
    if (question.min_exists !== null) asked.set("least", String(question.min_exists));
    if (question.show_all) asked.set("show", "all");
    if (question.checkpoints_asked) for (const one of question.checkpoints) asked.append("checkpoint", one);
  }
  return asked.size ? `?${asked}` : "";
}

/** Keep the address at what is shown. Another video or question is a step that back takes back. */
export function writePlace(shown) {
  const now = placeOf(shown);
  const before = window.location.search;
  if (before === now || `?${new URLSearchParams(before)}` === now) return;
  window.history[before ? "pushState" : "replaceState"](null, "", now || window.location.pathname);
}
