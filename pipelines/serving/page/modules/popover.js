/** A button that opens a small panel beside it. The browser closes it at Escape and at clicks elsewhere. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

let made = 0;

/**
 * @param {{name: string, picture?: string, text?: unknown, before?: () => void}} about before: called before it opens
 * @param {...unknown} children of the panel
 * @returns {{button: HTMLElement, panel: HTMLElement}} both to be put into the page, side by side
 */
export function popover({ name, picture, text, before = () => {} }, ...children) {
  const id = `panel-${(made += 1)}`;
  const panel = h("div", { id, class: "popover panel", popover: "auto", role: "group", "aria-label": name }, children);
  const shape = { type: "button", class: text ? "quiet" : "quiet icon", popovertarget: id, "aria-label": text ? null : name, title: name };
  const button = h("button", { ...shape, "aria-expanded": "false" }, picture && icon(picture), text);
  panel.addEventListener("beforetoggle", (event) => {
    if (event.newState !== "open") return;
    before();
    const at = button.getBoundingClientRect();
    panel.style.setProperty("--top", `${at.bottom + 4}px`);
    panel.style.setProperty("--right", `${Math.max(8, document.documentElement.clientWidth - at.right)}px`);
  });
  panel.addEventListener("toggle", (event) => button.setAttribute("aria-expanded", String(event.newState === "open")));
  return { button, panel };
}

/** Close what is open. */
export function closePopovers() {
  for (const one of document.querySelectorAll("[popover]:popover-open")) one.hidePopover();
}
