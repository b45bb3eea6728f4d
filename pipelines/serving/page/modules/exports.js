/** Answers and moments to take along. */

/** The formats of the question's answers. */
export function mountExports(container, app) {}

/** A button that cuts one moment out; null where nothing can be cut. */
export function cutButton(app, video, moment) {
  return null;
}
