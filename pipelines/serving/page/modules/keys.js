/** Keys of the page. They sleep while somebody types, and while a dialog is open. */

const known = [];

/**
 * Bind keys.
 * @param {string[]} keys as in KeyboardEvent.key, with "Shift+" before it where that matters: ["ArrowLeft", "Shift+ArrowLeft"]
 * @param {(event: KeyboardEvent, key: string) => void} act
 * @param {{shown?: string[], help?: string}} [about] for the help dialog; without `help` the keys are not listed there
 */
export function bind(keys, act, { shown = keys, help = "" } = {}) {
  known.push({ keys, act, shown, help });
}

/** What the help dialog lists. */
export function listed() {
  return known.filter((one) => one.help);
}

/** Whether a key typed here belongs to what has the focus. */
function taken(event) {
  const at = event.target;
  if (!(at instanceof Element)) return false;
  if (at.closest("textarea, select, [contenteditable]")) return true;
  if (at instanceof HTMLInputElement) return !["checkbox", "radio", "button"].includes(at.type) || event.key.length > 1 || event.key === " ";
  // what can be pressed is pressed by space and Enter; but who clicked on it and types on means the player
  const pressed = at.closest("button, a[href], summary, [role=button], [role=option]");
  return pressed !== null && (event.key === "Enter" || (event.key === " " && !isClicked(pressed)));
}

let clicked = null; // what the pointer gave the focus
document.addEventListener("pointerdown", (event) => (clicked = event.target.closest?.("button, a[href], summary") ?? null), true);
document.addEventListener("focusin", (event) => isClicked(event.target) || (clicked = null));

/** Whether the pointer was on it, or on what it was drawn anew for. */
function isClicked(element) {
  const name = (one) => one.getAttribute("aria-label");
  return element === clicked || (clicked !== null && !clicked.isConnected && name(element) === name(clicked));
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]") || taken(event)) return;
  if (event.key === "Escape" && document.querySelector("[popover]:popover-open")) return; // the browser closes it
  const key = event.shiftKey && event.key.length > 1 ? `Shift+${event.key}` : event.key;
  const found = known.find((one) => one.keys.includes(key));
  if (!found) return;
  event.preventDefault();
  if (key === " ") document.addEventListener("keyup", (up) => up.preventDefault(), { once: true }); // no click on what has the focus
  found.act(event, key);
});
