/** The command that asks the same as the page, as a shell takes it. */

import { pathOf } from "./video_rows.js";

/**
 * One line of `spikemba ground` per checkpoint, to be typed in the folder that is served.
 *
 * @param {object} question of the store: query, scope, videos, checkpoints, top, min_exists, show_all
 * @param {object[]} videos of GET /api/videos
 * @param {object[]} checkpoints of GET /api/state
 * @param {string | null} format of --format; null: as it comes
 */
export function groundCommand(question, videos, checkpoints, format = null) {
  const one = question.scope === "all" ? null : videos.find(({ id }) => id === question.videos?.[0]);
  const place = one ? pathOf(one) : ".";
  const options = [];
  if (question.top && question.top !== 5) options.push("--top", String(question.top));
  if (question.show_all) options.push("--all");
  else if (question.min_exists !== null && question.min_exists !== undefined) {
    options.push("--min-exists", String(question.min_exists));
  }
  if (format) options.push("--format", format);
  const asked = question.checkpoints?.length ? question.checkpoints : checkpoints.slice(0, 1).map(({ name }) => name);
  return asked.map((name) => lineOf(place, question.query, [...modelOf(name, checkpoints), ...options])).join("\n");
}

function modelOf(name, checkpoints) {
  const untrained = checkpoints.find((one) => one.name === name)?.trained === false;
  const encoder = name.match(/^zero-shot (.+)$/u)?.[1];
  return untrained && encoder ? ["--encoder", encoder] : ["--checkpoint", name];
}

function lineOf(place, query, options) {
  const file = place.startsWith("-") ? `./${place}` : place;
  // a sentence that begins with a dash would be taken for an option
  const words = query.startsWith("-") ? [...options, "--", file, query] : [file, query, ...options];
  return ["spikemba", "ground", ...words].map(shellWord).join(" ");
}

/**
 * A word as POSIX shells take it: as it is where nothing in it means something to them, else in single quotes.
 *
 * @param {string} word
 */
export function shellWord(word) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/u.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
