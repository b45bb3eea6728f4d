/**
 * A correction that is being drawn. What is drawn is a value {items, absent} that is never changed in place; each change is
 * a function from one to the next, and a step that can be taken back.
 *
 * An item is {key, start_s, end_s, verdict, rank, score}: verdict "open" (nothing is said of it), "right" or "wrong"; rank and
 * score of the answer that it was, or null for a window that a person added.
 */

const SHORTEST_S = 0.1;
const SAME = 0.5; // of the overlap of two windows that are the same moment
const ITSELF = 0.99; // of a window and the answer that it was, which is saved to the millisecond
const STEPS = 200;

/** What is drawn before anybody drew: the answers, undecided, beside what this person said before. */
export function beginning(moments, row) {
  const said = [
    ...(row?.relevant_windows ?? []).map((window) => ({ window, verdict: "right" })),
    ...(row?.wrong_windows ?? []).map((window) => ({ window, verdict: "wrong" })),
  ];
  const answers = moments.map(({ start_s, end_s, score }, i) => ({ start_s, end_s, verdict: "open", rank: i + 1, score }));
  const earlier = said.map(({ window: [start_s, end_s], verdict }) => {
    const { rank, score } = answers.find((one) => overlap(one, { start_s, end_s }) > ITSELF) ?? { rank: null, score: null };
    return { start_s, end_s, verdict, rank, score };
  });
  const open = answers
    .filter((one) => !earlier.some((other) => overlap(one, other) >= SAME));
  return { items: [...earlier, ...open].map((item, i) => ({ key: i + 1, ...item })), absent: row?.relevant_windows?.length === 0 };
}

/** A window between other times; whoever moves an answer says where it is right. */
export function placed(key, start_s, end_s, duration_s) {
  return (now) => change(now, key, (item) => ({ ...item, ...within(start_s, end_s, duration_s), verdict: "right" }), false);
}

/** The whole window somewhere else, as long as it is. */
export function moved(key, start_s, duration_s) {
  return (now) => {
    const { start_s: from, end_s: to } = now.items.find((one) => one.key === key);
    const start = Math.min(Math.max(0, start_s), Math.max(0, duration_s - (to - from)));
    return placed(key, start, start + to - from, duration_s)(now);
  };
}

/** Right, wrong or, where it says so already, open again. */
export function judged(key, verdict) {
  return (now) => {
    const same = now.items.find((one) => one.key === key).verdict === verdict;
    return change(now, key, (item) => ({ ...item, verdict: same ? "open" : verdict }), verdict === "right" ? false : now.absent);
  };
}

/** One window more, right. */
export function added(start_s, end_s, duration_s) {
  return (now) => {
    const item = { key: freeKey(now), ...within(start_s, end_s, duration_s), verdict: "right", rank: null, score: null };
    return { items: [...now.items, item], absent: false };
  };
}

export function removed(key) {
  return (now) => ({ ...now, items: now.items.filter((one) => one.key !== key) });
}

/** That the video shows nothing of the sentence: every answer is wrong, and what was added is gone. */
export function absent(yes) {
  return (now) => {
    const items = now.items.filter((one) => one.rank !== null || one.verdict === "wrong").map((one) => ({ ...one, verdict: "wrong" }));
    return yes ? { items, absent: true } : { ...now, absent: false };
  };
}

/** The key that the next window that is added gets. */
export function freeKey(now) {
  return Math.max(0, ...now.items.map((one) => one.key)) + 1;
}

/** What POST /api/corrections takes of it. */
export function said(now) {
  const of = (verdict) => now.items.filter((one) => one.verdict === verdict).map((one) => [one.start_s, one.end_s]);
  return { windows: of("right"), wrong: of("wrong"), absent: now.absent };
}

/** Whether there is anything to save in it. */
export function saysSomething(now) {
  return now.absent || now.items.some((one) => one.verdict !== "open");
}

/** Steps that can be taken back and done again. */
export class History {
  #past = [];
  #future = [];
  #kind = null;

  constructor(now) {
    this.now = now;
  }

  /** @param {(now: object) => object} step  @param {string | null} kind small steps of one kind are taken back together */
  do(step, kind = null) {
    const next = step(this.now);
    if (kind === null || kind !== this.#kind) this.#past = [...this.#past, this.now].slice(-STEPS);
    [this.now, this.#future, this.#kind] = [next, [], kind];
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  undo() {
    if (!this.canUndo) return;
    this.#future = [...this.#future, this.now];
    this.now = this.#past.pop();
    this.#kind = null;
  }

  redo() {
    if (!this.canRedo) return;
    this.#past = [...this.#past, this.now];
    this.now = this.#future.pop();
    this.#kind = null;
  }
}

function change(now, key, how, isAbsent) {
  return { items: now.items.map((one) => (one.key === key ? how(one) : one)), absent: isAbsent };
}

/** Times in the video, to the hundredth of a second, the earlier one first, and not all of nothing. */
function within(a, b, duration_s) {
  const round = (seconds) => Math.round(seconds * 100) / 100;
  const start = Math.min(Math.max(0, Math.min(a, b)), Math.max(0, duration_s - SHORTEST_S));
  const end = Math.min(duration_s, Math.max(start + SHORTEST_S, Math.max(a, b)));
  return { start_s: round(start), end_s: end === duration_s ? Math.floor(end * 1000) / 1000 : round(end) };
}

function overlap(a, b) {
  const shared = Math.min(a.end_s, b.end_s) - Math.max(a.start_s, b.start_s);
  return shared <= 0 ? 0 : shared / (a.end_s - a.start_s + b.end_s - b.start_s - shared);
}
