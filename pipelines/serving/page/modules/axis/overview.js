/** Where in the whole video the view is; shown while it is not the whole. Drag it to move. */

import { fill, h } from "../dom.js";

/** @returns {{element: HTMLElement, draw: Function}} */
export function overview(axis) {
  const frame = h("div", { class: "overview-frame" });
  const marks = h("div", { class: "overview-marks", "aria-hidden": "true" });
  const strip = h("div", { class: "overview-strip" }, marks, frame);
  const element = h("div", { class: "overview", hidden: true }, h("span", { class: "lane-name soft tiny" }, "whole video"), strip);
  const move = (event) => {
    const box = strip.getBoundingClientRect();
    const view = axis.view();
    const middle = ((event.clientX - box.left) / box.width) * view.duration;
    axis.show(view.at(middle - (view.to - view.from) / 2, middle + (view.to - view.from) / 2));
  };
  strip.addEventListener("pointerdown", (event) => {
    strip.setPointerCapture(event.pointerId);
    move(event);
  });
  strip.addEventListener("pointermove", (event) => strip.hasPointerCapture(event.pointerId) && move(event));
  return {
    element,
    draw(view, { answers }) {
      element.hidden = view.isWhole;
      if (view.isWhole) return;
      const share = (seconds) => `${(100 * seconds) / view.duration}%`;
      frame.style.setProperty("--x", share(view.from));
      frame.style.setProperty("--w", share(view.to - view.from));
      const found = answers.flatMap((one, index) => one.moments.map((moment) => ({ ...moment, index })));
      fill(marks, found.map((one) => h("span", { data: { model: String(one.index % 2) }, vars: { "--x": share(one.start_s), "--w": share(one.end_s - one.start_s) } })));
    },
  };
}
