/** Sentences that were asked in this browser, the latest first; nobody else gets them, and they can be forgotten. */

const KEY = "spikemba.sentences";
const MOST = 50;

/** @returns {string[]} */
export function remembered() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

export function remember(query) {
  keep([query, ...remembered().filter((one) => one !== query)].slice(0, MOST));
}

/** Forget one sentence, or all. */
export function forget(query = null) {
  keep(query === null ? [] : remembered().filter((one) => one !== query));
}

function keep(queries) {
  try {
    localStorage.setItem(KEY, JSON.stringify(queries));
  } catch {
    // a browser that keeps nothing still asks
  }
}
