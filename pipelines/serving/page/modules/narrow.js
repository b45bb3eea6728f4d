/** The page in one column, as on a phone or with large letters: the list of videos stands above all else. */

import { region } from "./dom.js";

/** As layout.css has it. */
export function isNarrow() {
  return window.matchMedia("(max-width: 56.24em)").matches;
}

/** In one column, fold the list and bring the video to the top; its answers stand beneath. */
export function showStage({ focus = false } = {}) {
  if (!isNarrow()) return;
  region("library-fold").open = false;
  const stage = region("stage");
  stage.scrollIntoView({ block: "start" });
  if (focus) stage.focus({ preventScroll: true });
}
