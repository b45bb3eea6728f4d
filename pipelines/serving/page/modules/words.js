/** What each word contributes to the chosen moment. */
export function mountWords(container, app) {}
