/** The line under the header, and the one that only screen readers hear. */

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";

/** Gives app `notice` and `say`. */
export function mountNotice(seen, heard, app) {
  app.notice = (text, { failed = false } = {}) => {
    seen.classList.toggle("failed", failed);
    if (!text) return void fill(seen);
    const close = h("button", { class: "quiet icon", type: "button", "aria-label": "Close", onclick: () => fill(seen) }, icon("close"));
    fill(seen, h("span", { dir: "auto" }, text), close);
  };
  app.say = (text) => {
    if (heard.textContent !== text) heard.textContent = text;
  };
}
