/** A time that somebody typed for one edge of a window: taken, or refused with the reason. */

import { clock, parsed } from "../times.js";

const SHORTEST_S = 0.1;

/**
 * The edge in seconds, or why the window cannot have it: the other edge is never moved for it.
 *
 * @param {string} text
 * @param {"start" | "end"} part
 * @param {{start_s: number, end_s: number}} item the window as it is
 * @param {number} duration_s of the video
 * @returns {{seconds: number} | {problem: string}}
 */
export function typedEdge(text, part, item, duration_s) {
  const seconds = parsed(text);
  if (seconds === null) return { problem: `“${text}” is no time; expected seconds, or minutes and seconds as 1:02.5` };
  return edgeAt(seconds, part, item, duration_s);
}

/** The same for a time that is known to be one. */
export function edgeAt(seconds, part, { start_s, end_s }, duration_s) {
  // what a field shows is rounded, so the last hundredth may lie behind the end
  if (seconds > duration_s + 0.01) return { problem: `${clock(seconds, 2)} lies behind the end of the video, ${clock(duration_s, 2)}` };
  if (part === "start" && seconds > end_s - SHORTEST_S + 1e-9) return { problem: `${clock(seconds, 2)} is no start before the window’s end, ${clock(end_s, 2)}; change its end first` };
  if (part === "end" && seconds < start_s + SHORTEST_S - 1e-9) return { problem: `${clock(seconds, 2)} is no end behind the window’s start, ${clock(start_s, 2)}; change its start first` };
  return { seconds: Math.min(seconds, duration_s) };
}
