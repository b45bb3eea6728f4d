/** The ranked answers to the shown video. */
export function mountAnswers(container, app) {}
