/** What a format cannot hold of the answers, in one line beside it: the same that `spikemba ground` says. */

const CAPTIONS = new Set(["srt", "vtt"]);
const CUTS = new Set(["edl", "fcpxml", "xml", "otio"]); // timelines that are a rough cut unless markers are wanted
const TIMELINES = new Set([...CUTS, "markers.csv"]);
const HOLD_NOTHING = new Set(["json", "csv"]); // they can say that there is no moment

/**
 * @param {string} format
 * @param {string} shape "cut", "markers" or "" for what the format is mostly for
 * @param {object[]} answers those that are written, with their moments
 * @returns {string | null} null where the file holds all
 */
export function noteOf(format, shape, answers) {
  const moments = answers.map((one) => one.moments);
  const all = moments.flat().length;
  if (CAPTIONS.has(format)) {
    const n = sum(moments.map((of) => of.filter((a) => of.some((b) => a !== b && meet(a, b))).length));
    return n ? `captions of overlapping moments lie over one another: ${n} of ${all}` : null;
  }
  const isCut = TIMELINES.has(format) && (shape || (CUTS.has(format) ? "cut" : "markers")) === "cut";
  if (format !== "chapters" && !isCut) return null;
  const n = all - sum(moments.map(nApart));
  return n ? `overlapping moments are left out: ${n} of ${all}${isCut ? "; as markers all are there" : ""}` : null;
}

/** Why there is nothing to write in this format, or null. */
export function nothingOf(format, answers) {
  if (HOLD_NOTHING.has(format) || answers.some((one) => one.moments.length)) return null;
  const [first] = answers;
  return `Nothing to save: ${answers.length === 1 ? (first.nothing ?? "no moment") : "no answer has a moment"}. CSV and JSON can hold that.`;
}

/** How many are left when of two that share time the better one stays. */
function nApart(moments) {
  const kept = [];
  for (const one of [...moments].sort((a, b) => b.score - a.score)) if (!kept.some((other) => meet(one, other))) kept.push(one);
  return kept.length;
}

function meet(a, b) {
  return Math.min(a.end_s, b.end_s) > Math.max(a.start_s, b.start_s);
}

function sum(numbers) {
  return numbers.reduce((total, one) => total + one, 0);
}
