/** The rows of the list of videos: sorted, grouped by folder, filtered, and where each stands. No elements here. */

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/**
 * The videos in the order of the list: by folder, then by name, numbers by value.
 *
 * @param {object[]} videos of GET /api/videos
 * @returns {{video: object, key: string}[]} key: what the filter looks into
 */
export function inOrder(videos) {
  const sorted = [...videos].sort((a, b) => collator.compare(a.folder, b.folder) || collator.compare(a.name, b.name));
  return sorted.map((video) => ({ video, key: plain(pathOf(video)) }));
}

/**
 * Those whose folder or name holds every word, whatever its case and accents.
 *
 * @param {{video: object, key: string}[]} entries
 * @param {string} text
 */
export function matching(entries, text) {
  const words = plain(text).split(/\s+/u).filter(Boolean);
  return words.length ? entries.filter(({ key }) => words.every((word) => key.includes(word))) : entries;
}

function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/**
 * Rows with a heading above each folder's videos, where there are folders, and where they begin.
 *
 * @param {{video: object}[]} entries
 * @param {number} headingPx
 * @param {number} videoPx
 * @returns {{rows: {heading?: string, n?: number, video?: object, place?: number}[], tops: number[], indices: number[]}} tops: in
 *   pixels, with the list's height at the end; indices: the rows of the videos, in order
 */
export function laidOut(entries, headingPx, videoPx) {
  const rows = [];
  const tops = [];
  const indices = [];
  let top = 0;
  let heading = null;
  const flat = entries.every(({ video }) => video.folder === "");
  const put = (row, height) => {
    rows.push(row);
    tops.push(top);
    top += height;
  };
  for (const { video } of entries) {
    if (!flat && heading?.heading !== video.folder) {
      heading = { heading: video.folder, n: 0 };
      put(heading, headingPx);
    }
    if (heading) heading.n += 1;
    indices.push(rows.length);
    put({ video, place: indices.length - 1 }, videoPx);
  }
  tops.push(top);
  return { rows, tops, indices };
}

/** The row that covers this height; the last one below the end. */
export function rowAt(tops, y) {
  let [low, high] = [0, Math.max(0, tops.length - 2)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle] <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** A video's name below its folder's heading: its file's, or more of it where that would not tell it from others. */
export function baseName({ name, folder }) {
  const parts = name.split("/");
  const above = parts.slice(0, -1).join("/");
  return above === "" || folder === above || folder.endsWith(`/${above}`) ? parts.at(-1) : name;
}

/** A video's way from the served folder. */
export function pathOf(video) {
  const base = baseName(video);
  return video.folder ? `${video.folder}/${base}` : base;
}
