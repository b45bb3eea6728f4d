/** The times along the axis; for keyboards and screen readers it is a slider of the video's time. */

import { fill, h } from "../dom.js";
import { clock, spoken } from "../times.js";

const LABEL_PX = 76;

/** @returns {{element: HTMLElement, draw: (view: import("./view.js").View) => void, setTime: (s: number) => void}} */
export function ruler(axis, app) {
  const track = h("div", { class: "lane-track ruler", role: "slider", tabindex: "0", "aria-label": "Time", "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0" });
  const element = h("div", { class: "lane lane-ruler" }, h("span", { class: "lane-name soft tiny" }, "time"), track);
  track.addEventListener("keydown", (event) => {
    const to = { Home: 0, End: axis.view().duration, PageUp: app.player.time() + 10, PageDown: app.player.time() - 10 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    app.player.seek(to);
  });
  return {
    element,
    draw(view) {
      const { step, times } = view.ticks(LABEL_PX);
      const digits = step < 1 ? 1 : 0;
      const fits = (seconds) => view.x(seconds) < view.width - 40;
      fill(track, times.filter(fits).map((one) => h("span", { class: "tick number", "aria-hidden": "true", vars: { "--x": `${view.x(one)}px` } }, clock(one, digits))));
      track.setAttribute("aria-valuemax", view.duration.toFixed(1));
    },
    setTime(seconds) {
      const now = seconds.toFixed(1);
      if (track.getAttribute("aria-valuenow") === now) return;
      track.setAttribute("aria-valuenow", now);
      track.setAttribute("aria-valuetext", spoken(seconds));
    },
  };
}
