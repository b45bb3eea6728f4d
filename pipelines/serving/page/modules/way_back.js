/** The way back from a video to the list of answers that led there. */

import { h } from "./dom.js";

export class WayBack {
  /**
   * @param {string} words of its button
   * @param {() => HTMLElement | null} otherwise where to go when what was pressed is no more there
   */
  constructor(words, otherwise) {
    this.otherwise = otherwise;
    this.button = h("button", { type: "button", class: "results-button results-back", hidden: true, onclick: () => this.come() }, words);
  }

  /** Goes to a video, and offers the way back to where it was pressed. */
  leave(go) {
    this.left = document.activeElement;
    go();
    this.button.hidden = false;
  }

  come() {
    this.button.hidden = true;
    const place = this.left?.isConnected ? this.left : this.otherwise();
    place?.scrollIntoView({ block: "center" });
    place?.focus({ preventScroll: true });
  }
}
