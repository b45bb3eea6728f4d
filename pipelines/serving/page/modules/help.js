/** The dialog with all keys. */

import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { bind, listed } from "./keys.js";

/** Puts the help button into a container. */
export function mountHelp(container) {
  const keys = h("dl", { class: "keys" });
  const dialog = h("dialog", { "aria-labelledby": "help-title" });
  const close = h("button", { class: "quiet icon", type: "button", "aria-label": "Close", onclick: () => dialog.close() }, icon("close"));
  fill(dialog, h("div", { class: "dialog-head" }, h("h2", { id: "help-title" }, "Keys"), close), keys);
  document.body.append(dialog);
  const open = () => {
    fill(keys, listed().map(({ shown, help }) => h("div", {}, h("dt", {}, shown.map((one) => [h("kbd", {}, one), " "])), h("dd", {}, help))));
    dialog.showModal();
  };
  container.append(h("button", { class: "quiet icon", type: "button", "aria-label": "Help: all keys", title: "Keys (?)", onclick: open }, icon("help")));
  bind(["?"], open, { help: "this list" });
}
