/** The time axis and its lanes. */

/** @returns what app.axis is */
export function mountAxis(container, app) {
  return { addLane() {}, redraw() {}, view: () => [0, 0], zoomTo() {} };
}
