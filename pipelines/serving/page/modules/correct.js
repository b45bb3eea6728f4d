/** Corrections of windows. */
export function mountCorrections(container, app) {}
