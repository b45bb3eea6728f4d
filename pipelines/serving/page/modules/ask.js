/** The form that asks. */

/** @returns {(query: string, options?: object) => void} what app.ask is */
export function mountAsk(container, app) {
  return () => {};
}
