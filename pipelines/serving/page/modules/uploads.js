/** Videos that are sent to the server, where it takes them. */
export function mountUploads(container, app) {}
