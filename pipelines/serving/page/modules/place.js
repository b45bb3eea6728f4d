/** What is shown, in the address: a reload shows the same, and back goes back. */

const TOP = 5;

/**
 * @param {string} [search] of the address
 * @returns {{video: string | null, query: string | null, scope: "video" | "all", top: number | null, min_exists: number | null,
 *   show_all: boolean, checkpoints: string[]}} null, false and []: as usual
 */
export function readPlace(search = window.location.search) {
  const asked = new URLSearchParams(search);
  const top = Number(asked.get("top"));
  const least = Number.parseFloat(asked.get("least") ?? "");
  return {
    video: asked.get("video"),
    query: asked.get("query"),
    scope: asked.get("scope") === "all" ? "all" : "video",
    top: Number.isInteger(top) && top > 0 ? top : null,
    min_exists: least >= 0 && least <= 1 ? least : null,
    show_all: asked.get("show") === "all",
    checkpoints: asked.getAll("checkpoint"),
  };
}

/** The address of what is shown, from its question mark on; empty where nothing is. */
export function placeOf({ video, question }) {
  const asked = new URLSearchParams();
  if (video !== null) asked.set("video", video);
  if (question && (question.scope === "all" || question.videos.includes(video))) {
    asked.set("query", question.query);
    if (question.scope === "all") asked.set("scope", "all");
    if (question.top !== TOP) asked.set("top", String(question.top));
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
