/** Links that open a video at a moment: the page's address, and `t=start,end` in seconds. */

/**
 * @param {string} address of the page as it is now
 * @param {string} video id
 * @param {{start_s: number, end_s: number}} moment
 * @returns {string}
 */
export function linkTo(address, video, moment) {
  const link = new URL(address);
  link.searchParams.set("video", video);
  link.searchParams.delete("token"); // whoever opens it brings an own one
  link.searchParams.set("t", [moment.start_s, moment.end_s].map((time) => String(Math.round(1000 * time) / 1000)).join(","));
  link.hash = "";
  return link.href;
}

/** The moment that an address names, or null. @returns {{start_s: number, end_s: number} | null} */
export function linkedMoment(address) {
  const times = (new URL(address).searchParams.get("t") ?? "").split(",");
  if (times.length !== 2 || !times.every((time) => /^\d{1,7}(\.\d{1,3})?$/u.test(time))) return null;
  const [start_s, end_s] = times.map(Number);
  return start_s < end_s ? { start_s, end_s } : null;
}

/** Chooses the moment of the page's address as soon as its video is there. Called before the address is written anew. */
export function openLinked(app) {
  const moment = linkedMoment(window.location.href);
  const video = new URLSearchParams(window.location.search).get("video");
  if (!moment || video === null) return;
  let open = true;
  app.state.watch(["info", "video"], (now) => {
    if (!open || now.video !== video || !now.info) return;
    open = false;
    app.choose({ ...moment, score: null, checkpoint: null, rank: null }, { play: false });
  });
}
