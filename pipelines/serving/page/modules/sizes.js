/** Sizes of files as people read them. */

/** 1234567 -> "1.2 MB" */
export function sizeOf(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [size, k] = [bytes, 0];
  for (; size >= 999.5 && k < units.length - 1; k += 1) size /= 1000;
  return `${size < 9.95 && k > 0 ? size.toFixed(1) : Math.round(size)} ${units[k]}`;
}
