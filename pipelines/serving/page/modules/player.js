/** The video and its controls. */

/** @returns what app.player is */
export function mountPlayer(container, app) {
  return { seek() {}, play() {}, pause() {}, toggle() {}, time: () => 0, loop() {}, unloop() {}, onTime() {} };
}
