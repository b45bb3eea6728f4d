/** Canvases of lanes with a value per clip: columns of pixels, however long the video. */

import { h } from "../dom.js";
import { columns } from "./view.js";

/** A curve from 0 to 1, filled; the second checkpoint's has a hatched ground and a dashed line. */
export function drawCurve(track, view, values, clip_s, { index, label }) {
  const { context, height } = canvasOf(track, view, label);
  const colour = modelColour(track, index);
  const found = columns(view, values, clip_s);
  const y = (value) => height - 1 - value * (height - 3);
  line(context, height, 0.5);
  const parts = stretches(found);
  for (const [first, last] of parts) {
    context.beginPath();
    context.moveTo(first, height);
    for (let x = first; x <= last; x += 1) context.lineTo(x + 0.5, y(found[x]));
    context.lineTo(last + 1, height);
    context.closePath();
    context.globalAlpha = index % 2 ? 0.55 : 0.28;
    context.fillStyle = index % 2 ? hatch(context, colour) : colour;
    context.fill();
    context.globalAlpha = 1;
    context.beginPath();
    for (let x = first; x <= last; x += 1) context.lineTo(x + 0.5, y(found[x]));
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.setLineDash(index % 2 ? [4, 2] : []);
    context.stroke();
  }

  function line(on, bottom, width) {
    on.strokeStyle = getComputedStyle(track).getPropertyValue("--line");
    on.lineWidth = 2 * width;
    on.setLineDash([]);
    on.beginPath();
    on.moveTo(0, bottom - 0.5);
    on.lineTo(view.width, bottom - 0.5);
    on.stroke();
  }
}

/** Rows of steps, columns of clips; a column of several clips is as strong as the share of them that fired. */
export function drawRaster(track, view, raster, clip_s, { index, label }) {
  const { context, height } = canvasOf(track, view, label);
  const n_steps = raster[0]?.length ?? 0;
  const tall = height / Math.max(1, n_steps);
  const perClip = clip_s / view.scale;
  context.fillStyle = modelColour(track, index);
  for (let step = 0; step < n_steps; step += 1) {
    const top = step * tall + 0.5;
    if (perClip >= 2) drawClips(context, view, raster, step, clip_s, top, tall - 1);
    else drawShares(context, view, raster, step, clip_s, top, tall - 1);
  }
  context.globalAlpha = 1;
}

function drawClips(context, view, raster, step, clip_s, top, tall) {
  const last = Math.min(raster.length - 1, Math.floor(view.to / clip_s));
  for (let i = Math.floor(view.from / clip_s); i <= last; i += 1) {
    context.globalAlpha = raster[i][step] > 0 ? 1 : 0.09;
    context.fillRect(view.x(i * clip_s) + 0.5, top, clip_s / view.scale - 1, tall);
  }
}

function drawShares(context, view, raster, step, clip_s, top, tall) {
  for (let x = 0; x < view.width; x += 1) {
    const first = Math.floor(view.time(x) / clip_s);
    const stop = Math.min(raster.length, Math.max(first + 1, Math.floor(view.time(x + 1) / clip_s)));
    let sum = 0;
    for (let i = first; i < stop; i += 1) sum += raster[i][step] > 0;
    if (first >= raster.length) break;
    // a single clip that fired among many must stay visible
    context.globalAlpha = sum ? 0.45 + (0.55 * sum) / (stop - first) : 0.09;
    context.fillRect(x, top, 1, tall);
  }
}

/** The track's canvas, cleared and sized for the screen's pixels; units are CSS pixels. */
function canvasOf(track, view, label) {
  let canvas = track.firstElementChild;
  if (!(canvas instanceof HTMLCanvasElement)) {
    canvas = h("canvas", { role: "img" });
    track.replaceChildren(canvas);
  }
  if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
  const height = track.clientHeight;
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.round(view.width * dense);
  canvas.height = Math.round(height * dense);
  const context = canvas.getContext("2d");
  context.setTransform(dense, 0, 0, dense, 0, 0);
  return { context, height };
}

function modelColour(track, index) {
  return getComputedStyle(track).getPropertyValue(`--model-${index % 2}`).trim();
}

/** Runs of columns that have a value, as [first, last]. */
function stretches(found) {
  const runs = [];
  for (let x = 0; x < found.length; x += 1) {
    if (Number.isNaN(found[x])) continue;
    if (runs.length && runs.at(-1)[1] === x - 1) runs.at(-1)[1] = x;
    else runs.push([x, x]);
  }
  return runs;
}

function hatch(context, colour) {
  const tile = new OffscreenCanvas(6, 6);
  const on = tile.getContext("2d");
  on.strokeStyle = colour;
  on.lineWidth = 1.5;
  for (const shift of [-6, 0, 6]) {
    on.beginPath();
    on.moveTo(shift - 1, 7);
    on.lineTo(shift + 7, -1);
    on.stroke();
  }
  return context.createPattern(tile, "repeat");
}
