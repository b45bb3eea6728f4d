/** Names of files that the server sends. */

/**
 * The file's name of a Content-Disposition, or null.
 *
 * @param {string | null} header
 */
export function fileName(header) {
  const encoded = header?.match(/filename\*\s*=\s*utf-8''([^;]+)/iu)?.[1];
  if (encoded) {
    try {
      return decodeURIComponent(encoded.trim());
    } catch {
      // not what it says it is: the plain name is left
    }
  }
  return header?.match(/filename\s*=\s*"([^"]*)"/iu)?.[1] ?? header?.match(/filename\s*=\s*([^;\s]+)/iu)?.[1] ?? null;
}
