/** What the page knows, in one place; whoever shows a part of it is told when that part changes. */

/**
 * @template {object} T
 * @param {T} initial
 * @param {(values: T) => Partial<T>} [derive] values that follow from others; nobody ever sees them lag behind those
 */
export function createStore(initial, derive = () => ({})) {
  let values = { ...initial, ...derive(initial) };
  const watchers = new Set();
  const told = (tell) => {
    try {
      tell(values);
    } catch (problem) {
      reportError(problem); // a fault of one who watches keeps the news from no other
    }
  };
  return {
    /** The values as they are; not to be written to. @returns {T} */
    get: () => values,

    /** Take some new values; those who watch one that differs are told, once, with all values. @param {Partial<T>} patch */
    set(patch) {
      const [before, now] = [values, { ...values, ...patch }];
      values = { ...now, ...derive(now) };
      const changed = Object.keys(values).filter((key) => !Object.is(before[key], values[key]));
      if (changed.length) for (const one of [...watchers]) if (one.keys.some((key) => changed.includes(key))) told(one.tell);
    },

    /**
     * Call `tell(values)` now and whenever one of the keys changes.
     * @param {(keyof T)[]} keys
     * @param {(values: T) => void} tell
     * @returns {() => void} call it to watch no more
     */
    watch(keys, tell) {
      const one = { keys, tell };
      watchers.add(one);
      tell(values);
      return () => watchers.delete(one);
    },

    /**
     * The same for what depends on part of a value: told when `pick(values)`, a list, has other elements than before.
     * @param {(keyof T)[]} keys
     * @param {(values: T) => unknown[]} pick
     * @param {(values: T) => void} tell
     */
    watchPart(keys, pick, tell) {
      let before = null;
      return this.watch(keys, (now) => {
        const part = pick(now);
        const same = before?.length === part.length && part.every((one, i) => Object.is(one, before[i]));
        before = part;
        if (!same) tell(now);
      });
    },
  };
}
