/** Whether people contradict each other about a video and a sentence: the rule of `prepare custom`, which refuses such rows. */

import { span } from "../times.js";

const SAME = 0.5; // overlap from which two windows are the same moment

/**
 * Every two people of whom both cannot be right.
 *
 * @param {{by: string, relevant_windows: number[][] | null, wrong_windows: number[][]}[]} rows at most one of each person
 * @returns {{names: [string, string], text: string}[]}
 */
export function disagreements(rows) {
  const found = [];
  for (const [i, a] of rows.entries()) {
    for (const b of rows.slice(i + 1)) {
      const text = contradiction(a, b) ?? contradiction(b, a) ?? denial(a, b) ?? denial(b, a);
      if (text) found.push({ names: [a.by, b.by], text });
    }
  }
  return found;
}

function contradiction(one, other) {
  if (one.relevant_windows?.length !== 0 || !other.relevant_windows?.length) return null;
  return `${one.by} says that it is not in this video, ${other.by} that it is at ${span(...other.relevant_windows[0])}`;
}

/** A window that one calls wrong and the other gives, unless the one gives that moment as well, with other edges. */
function denial(one, other) {
  for (const wrong of one.wrong_windows) {
    for (const given of other.relevant_windows ?? []) {
      const own = (one.relevant_windows ?? []).some((right) => overlap(given, right) >= SAME);
      if (overlap(wrong, given) >= SAME && !own) return `${one.by} says that ${span(...wrong)} is wrong, ${other.by} that it is at ${span(...given)}`;
    }
  }
  return null;
}

function overlap([a, b], [c, d]) {
  const shared = Math.min(b, d) - Math.max(a, c);
  return shared <= 0 ? 0 : shared / (b - a + d - c - shared);
}
