/** What this browser keeps of corrections: the person's name, and what is drawn and not saved yet. */

const NAME = "spikemba.name";
const DRAFT = "spikemba.draft:";

export function keptName() {
  return read(NAME) ?? "";
}

/** Whether a person can be called that: the same rule as the server's, so that nothing has to be refused. */
export function isName(name) {
  return /^[\p{L}\p{M}\p{N} ._-]{1,64}$/u.test(name) && /[\p{L}\p{N}]/u.test(name) && !/^\.|\.$/.test(name);
}

export function keepName(name) {
  write(NAME, name);
}

/** @returns {{video: string, query: string, name: string, now: object, model: string} | null} */
export function keptDraft(video, query) {
  return parsed(read(keyOf(video, query)));
}

export function keepDraft(draft) {
  write(keyOf(draft.video, draft.query), JSON.stringify(draft));
}

export function forgetDraft(video, query) {
  write(keyOf(video, query), null);
}

/** All drafts, of whatever video and sentence. */
export function keptDrafts() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(DRAFT)).map((key) => parsed(read(key))).filter(Boolean);
  } catch {
    return [];
  }
}

/** Call `fn(changed)` when another tab keeps or forgets a draft; `changed(video, query)` says whether it is of these. */
export function onOtherTabs(fn) {
  window.addEventListener("storage", ({ key }) => {
    if (key === null || key.startsWith(DRAFT)) fn((video, query) => key === null || key === keyOf(video, query));
  });
}

function keyOf(video, query) {
  return `${DRAFT}${video}\n${query}`;
}

function parsed(text) {
  try {
    const found = JSON.parse(text);
    return Array.isArray(found?.now?.items) ? found : null;
  } catch {
    return null;
  }
}

// A browser may keep nothing (private windows, a full store): then the page forgets, and works.
function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key, text) {
  try {
    if (text === null) localStorage.removeItem(key);
    else localStorage.setItem(key, text);
  } catch {
    // not kept
  }
}
