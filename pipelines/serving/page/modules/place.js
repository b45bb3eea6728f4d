/** What is shown, in the address: a reload shows the same, and back goes back. */

/** @returns {{video: string | null, query: string | null, scope: "video" | "all", top: number | null, checkpoints: string[]}} */
export function readPlace() {
  const asked = new URLSearchParams(window.location.search);
  const top = Number(asked.get("top"));
  return {
    video: asked.get("video"),
    query: asked.get("query"),
    scope: asked.get("scope") === "all" ? "all" : "video",
    top: Number.isInteger(top) && top > 0 ? top : null,
    checkpoints: asked.getAll("checkpoint"),
  };
}

/** Keep the address at what is shown. Another video or question is a step that back takes back. */
export function writePlace({ video, question }) {
  const asked = new URLSearchParams();
  if (video !== null) asked.set("video", video);
  if (question && (question.scope === "all" || question.videos.includes(video))) {
    asked.set("query", question.query);
    if (question.scope === "all") asked.set("scope", "all");
    if (question.top !== 5) asked.set("top", String(question.top));
    if (question.checkpoints_asked) for (const one of question.checkpoints) asked.append("checkpoint", one);
  }
  const now = asked.size ? `?${asked}` : window.location.pathname;
  if (`?${new URLSearchParams(window.location.search)}` === now) return;
  const first = !window.location.search;
  window.history[first ? "replaceState" : "pushState"](null, "", now);
}
