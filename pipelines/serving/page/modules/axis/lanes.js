/** What a checkpoint says along the time, a lane each; and the true windows. */

import { fill, h } from "../dom.js";
import { clock, span } from "../times.js";
import { drawCurve, drawRaster } from "./draw.js";
import { packed } from "./view.js";

const ROW_PX = 24;
const SCORE_FITS_PX = 48;
const LEAST_PX = 20; // a rank can still be read in it

/** True windows of the sentence that was asked, or of all sentences while none is; null where nothing is known. */
export function truthLane(truth, query, app) {
  const same = (one) => one.query.trim().toLowerCase() === (query ?? "").trim().toLowerCase();
  const known = query ? truth.filter(same) : truth;
  const windows = known.flatMap((one) => one.windows.map(([start_s, end_s]) => ({ start_s, end_s, query: one.query, by: one.by })));
  const deniers = query ? known.filter((one) => one.absent).map((one) => one.by) : [];
  if (!windows.length && !deniers.length) return null;
  const disputed = windows.length > 0 && deniers.length > 0;
  const rows = (view) => packed(windows, LEAST_PX * view.scale);
  return {
    id: "truth",
    title: disputed ? "true windows?" : "true windows",
    help: query ? "Where the sentence is true, as annotations and corrections say." : "True windows of all annotated sentences of this video.",
    height: (view) => heightOf(rows(view)) + (disputed ? ROW_PX : 0),
    group: null,
    draw(track, view) {
      if (!windows.length) return void fill(track, h("p", { class: "lane-note soft tiny" }, "none: the sentence is not true anywhere"));
      const row = rows(view).map((one) => one + Number(disputed));
      const note = disputed && h("p", { class: "lane-note tiny clip", dir: "auto" }, `disputed: not in this video, says ${deniers.join(", ")}`);
      refill(track, [note, ...windows.map((one, i) => view.shows(one.start_s, one.end_s) && truthBlock(one, row[i], view, app))]);
    },
  };
}

function truthBlock(one, row, view, app) {
  const said = `${one.query}: ${span(one.start_s, one.end_s)}${one.by ? `, by ${one.by}` : ""}`;
  const act = () => app.choose({ ...one, score: null, checkpoint: null, rank: null });
  return h("button", { class: "block truth", type: "button", title: said, "aria-label": `true window ${said}`, onclick: act, vars: placed(one, row, view) }, h("span", { class: "clip", dir: "auto" }, one.query));
}

/**
 * The lanes of one answer.
 * @param answer Answer of the contract
 * @param {{index: number, name: string, several: boolean}} group
 */
export function answerLanes(answer, group, app) {
  const { saliency, foreground, clip_s, n_spike_steps, spike_steps, spikes, proposals } = answer.explained;
  const lane = (kind, title, help, height, draw) => ({ id: `${kind}:${group.index}`, title, help, height, group, draw });
  const curve = (name, values) => (track, view) => drawCurve(track, view, values, clip_s, { index: group.index, label: highest(name, values, clip_s, group) });
  const rows = (view) => packed(answer.moments, LEAST_PX * view.scale);
  const raster = n_spike_steps ? spike_steps : spikes.map((rate) => [rate]);
  const fires = spikes.some((rate) => rate > 0);
  return [
    lane("answers", "answers", "The moments found, best first: rank and score in [0, 1].", (view) => heightOf(rows(view)), (track, view) => drawAnswers(track, view, answer, rows(view), group, app)),
    lane("saliency", "saliency", "How well each clip fits the sentence, from 0 to 1.", 40, curve("saliency", saliency)),
    lane("foreground", "foreground", "How likely each clip lies inside a moment, from 0 to 1.", 40, curve("foreground", foreground)),
    n_spike_steps > 0 && lane("spikes", "spikes", `What the detector fired: one row for each of its ${n_spike_steps} steps, one column per clip.`, Math.max(24, Math.min(48, 5 * n_spike_steps)), (track, view) => drawRaster(track, view, raster, clip_s, { index: group.index, label: fired(raster, clip_s, group) })),
    (fires || proposals.length > 0) && lane("proposals", "proposals", "Runs of clips that the detector fired for often enough; the number is its mean rate.", 20, (track, view) => drawProposals(track, view, proposals)),
  ].filter(Boolean);
}

function drawAnswers(track, view, answer, rows, { index, name, several }, app) {
  const { moment } = app.state.get();
  if (!answer.moments.length) return void fill(track, h("p", { class: "lane-note soft tiny" }, answer.nothing ?? "no moment"));
  const blocks = answer.moments.map((one, i) => {
    if (!view.shows(one.start_s, one.end_s)) return null;
    const chosen = moment?.checkpoint === answer.checkpoint && moment.rank === i + 1;
    const said = `answer ${i + 1}${several ? ` of ${name}` : ""}, ${span(one.start_s, one.end_s)}, score ${one.score.toFixed(2)}`;
    const act = () => app.choose({ ...one, checkpoint: answer.checkpoint, rank: i + 1 });
    const shape = { class: `block answer${i ? "" : " best"}`, type: "button", title: said, "aria-label": said, "aria-pressed": String(chosen), onclick: act, vars: placed(one, rows[i], view), data: { model: String(index % 2) } };
    return h("button", shape, h("span", { class: "number" }, h("b", {}, i + 1), (one.end_s - one.start_s) / view.scale > SCORE_FITS_PX && ` ${one.score.toFixed(2)}`));
  });
  refill(track, blocks);
}

/** Fill a track with buttons; the one that had the focus keeps it. */
function refill(track, blocks) {
  const focused = track.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  fill(track, blocks);
  if (focused) [...track.children].find((one) => one.getAttribute("aria-label") === focused)?.focus({ preventScroll: true });
}

function drawProposals(track, view, proposals) {
  fill(track, proposals.map((one) => view.shows(one.start_s, one.end_s) && h("span", { class: "block proposal tiny number", title: `proposal ${span(one.start_s, one.end_s)}, mean rate ${one.score.toFixed(2)}`, vars: { "--x": `${view.x(one.start_s)}px`, "--w": `${Math.max(2, (one.end_s - one.start_s) / view.scale)}px`, "--row": 0 } }, (one.end_s - one.start_s) / view.scale > 28 && one.score.toFixed(2))));
}

function heightOf(rows) {
  return Math.max(1, ...rows.map((row) => row + 1)) * ROW_PX;
}

/** Where a window stands: cut to the view, so that its label is seen. */
function placed({ start_s, end_s }, row, view) {
  const missing = Math.max(0, LEAST_PX - (end_s - start_s) / view.scale) / 2;
  const [from, to] = [Math.max(-1, view.x(start_s) - missing), Math.min(view.width + 1, view.x(end_s) + missing)];
  return { "--x": `${from}px`, "--w": `${Math.max(LEAST_PX, to - from)}px`, "--row": row };
}

function highest(name, values, clip_s, { name: who }) {
  const best = values.reduce((at, value, i) => (value > values[at] ? i : at), 0);
  return `${name} of ${who}: highest ${(values[best] ?? 0).toFixed(2)} at ${clock(best * clip_s)}`;
}

function fired(raster, clip_s, { name: who }) {
  const clips = raster.map((steps, i) => [steps, i]).filter(([steps]) => steps.some((one) => one > 0));
  if (!clips.length) return `spikes of ${who}: none`;
  return `spikes of ${who}: in ${clips.length} of ${raster.length} clips, first at ${clock(clips[0][1] * clip_s)}, last at ${clock(clips.at(-1)[1] * clip_s)}`;
}
