/** Playing what the server makes playable in pieces. */

/** @returns {() => void} detach */
export function attachPieces(video, info) {
  return () => {};
}
