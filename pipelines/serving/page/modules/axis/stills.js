/** Pictures of the video along the axis. */

import { path } from "../api.js";
import { fill, h } from "../dom.js";

const HEIGHT_PX = 45;
const SETTLE_MS = 120;

/** The address of a picture of a video. height: 90, 180 or 360 pixels. */
export function still(video, at_s, height = 90) {
  return `${path("videos", video, "still")}?at_s=${Math.max(0, at_s).toFixed(2)}&height=${height}`;
}

const lanes = new WeakMap();
/** A lane of pictures, each of the middle of the time that it covers; one lane per video, so that no picture is read twice. */
export function stillsLane(info) {
  if (!lanes.has(info)) lanes.set(info, makeLane(info));
  return lanes.get(info);
}

function makeLane(info) {
  const shape = info.width && info.height ? info.width / info.height : 16 / 9;
  const wide = Math.max(24, HEIGHT_PX * Math.min(2.4, shape));
  const kept = new Map();
  let timer = 0;
  const place = (track, view) => {
    const step = roundStep(Math.max(0.05, wide * view.scale));
    const shown = [];
    for (let i = Math.floor(view.from / step); i * step < view.to; i += 1) shown.push(picture(info, kept, i * step, Math.min((i + 1) * step, info.duration_s), view));
    if (kept.size > 400) kept.clear();
    fill(track, shown);
  };
  return {
    id: "stills",
    title: "pictures",
    help: "Pictures of the video, each of the middle of its stretch.",
    height: HEIGHT_PX,
    group: null,
    draw(track, view) {
      const moved = track.dataset.video === info.id;
      track.dataset.video = info.id;
      clearTimeout(timer);
      if (!moved) return place(track, view);
      timer = setTimeout(() => place(track, view), SETTLE_MS);
      for (const one of track.children) position(one, view);
    },
  };
}

/** The next of 1, 1.5, 2, 3, 4, 6 …: pictures stay where they are while one moves, and are asked for once. */
function roundStep(least) {
  const power = 2 ** Math.floor(Math.log2(least));
  return [power, 1.5 * power, 2 * power].find((one) => one >= least * 0.999);
}

function picture(info, kept, start, end, view) {
  const key = `${start}-${end}`;
  if (!kept.has(key)) {
    const at = Math.min((start + end) / 2, Math.max(0, info.duration_s - 0.1));
    kept.set(key, h("img", { src: still(info.id, at), alt: "", draggable: "false", decoding: "async", data: { start, end } }));
  }
  const one = kept.get(key);
  position(one, view);
  return one;
}

function position(one, view) {
  const [start, end] = [Number(one.dataset.start), Number(one.dataset.end)];
  one.style.setProperty("--x", `${view.x(start)}px`);
  one.style.setProperty("--w", `${(end - start) / view.scale}px`);
}
