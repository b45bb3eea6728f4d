/** How far a question is, in one line. */

import { roughly } from "./times.js";

/**
 * @param question of the state
 * @param {string} [name] of the video that is read
 * @param {number | null} [left_s] seconds until it is read
 */
export function progressLine({ state, place, reading, n_done, n_total, note, scope, like }, name = reading?.video, left_s = null) {
  const parts = [note];
  if (state === "waiting") parts.push(place > 0 ? `waiting: ${place} ${place === 1 ? "question" : "questions"} before this one` : "waiting for the server");
  else if (reading) parts.push(readingLine(reading, name, left_s));
  else if (scope === "library") parts.push(searchLine(n_done, n_total, like));
  else parts.push("looking for it");
  if (n_total > 1 && scope !== "library") parts.push(`${n_done} of ${n_total} videos done`);
  return parts.filter(Boolean).join(" · ");
}

function searchLine(done, total, like) {
  if (!total) return "comparing it with all clips of the library";
  const [n, all] = [done, total].map((one) => one.toLocaleString("en"));
  return like ? `reading the video: ${n} of ${all} clips` : `looking closely: ${n} of ${all} videos`;
}

function readingLine({ done, total }, name, left_s) {
  if (!total) return `reading ${name}`;
  const numbers = `${done.toLocaleString("en")} of ${total.toLocaleString("en")} clips`;
  return `reading ${name}: ${numbers}${left_s === null ? "" : `, ${roughly(left_s)} left`}`;
}

/** Guesses from its own calls how long a reading still takes; null before it can tell. */
export function createLeft() {
  let first = null;
  return (reading) => {
    if (!reading) return (first = null);
    const now = performance.now() / 1000;
    if (first?.video !== reading.video || reading.done < first.done) first = { video: reading.video, done: reading.done, at: now };
    const [clips, seconds] = [reading.done - first.done, now - first.at];
    return clips > 0 && seconds > 2 ? ((reading.total - reading.done) * seconds) / clips : null;
  };
}
