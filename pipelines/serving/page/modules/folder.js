/** The list of videos, and answers over all of them. */

/** The list, with a filter. */
export function mountFolder(container, app) {}

/** Answers over all videos, as filmstrips; called for every event of the question. */
export function renderResults(container, question, app) {}
