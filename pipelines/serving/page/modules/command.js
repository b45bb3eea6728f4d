/** The command that asks the same as the page, as a shell takes it. */

import { usualTop } from "./asked.js";
import { pathOf } from "./video_rows.js";

/**
 * The line of `spikemba search` that asks the library the same; null where it was asked with a picture.
 *
 * @param {object} question of the store
 * @param {object[]} videos of GET /api/videos
 * @param {object} server reply of GET /api/state
 */
export function searchCommand(question, videos, server) {
  const { query, like, only, picture } = question;
  if (picture) return null;
  const options = ["--library", server.library.given];
  if (like) {
    const video = videos.find(({ id }) => id === like.video);
    options.push("--like", `${video ? pathOf(video) : like.video}@${like.start_s}-${like.end_s}`);
  }
  const asked = question.checkpoints?.[0] ?? server.library.checkpoints[0];
  options.push(...modelOf(asked, server.checkpoints));
  if (question.top !== usualTop("library")) options.push("--top", String(question.top));
  options.push(...leastOf(question));
  const words = (only ?? "").trim().split(/\s+/u).filter(Boolean);
  const holds = words.map((word) => `instr(lower(path), '${word.toLowerCase().replaceAll("'", "''")}')`);
  if (holds.length) options.push("--where", holds.join(" AND "));
  const sentence = like ? [] : query.startsWith("-") ? ["--", query] : [query];
  const line = query.startsWith("-") ? [...options, ...sentence] : [...sentence, ...options];
  return ["spikemba", "search", ...line].map(shellWord).join(" ");
}

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
  options.push(...leastOf(question));
  if (format) options.push("--format", format);
  const asked = question.checkpoints?.length ? question.checkpoints : checkpoints.slice(0, 1).map(({ name }) => name);
  return asked.map((name) => lineOf(place, question.query, [...modelOf(name, checkpoints), ...options])).join("\n");
}

function leastOf({ show_all, min_exists }) {
  if (show_all) return ["--all"];
  return min_exists === null || min_exists === undefined ? [] : ["--min-exists", String(min_exists)];
}

function modelOf(name, checkpoints) {
  const known = checkpoints.find((one) => one.name === name);
  const untrained = known?.trained === false;
  const encoder = name.match(/^zero-shot (.+)$/u)?.[1];
  return untrained && encoder ? ["--encoder", encoder] : ["--checkpoint", known?.given ?? name];
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
