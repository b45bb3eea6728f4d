/**
 * Playing what the server makes playable in pieces: each is a small MP4 that begins at 0 and is put where it belongs.
 *
 * What a player may want to show is told by events of the video element: "pieceproblem" (detail: one line) where a piece
 * cannot be had, and "piecewaiting" (detail: true or false) while one is being made.
 */

import { path, pause, problemOf, setAway } from "./api.js";

const AHEAD_S = 30;
const AHEAD_PAUSED_S = 6;
const KEPT_BEHIND_S = 40;
const KEPT_AHEAD_S = 70;
const SLACK_S = 0.06; // sound lies on a grid of its own, so that a piece's borders are known to some hundredths
const NEAR_S = 0.25; // so close before a piece that cannot be had, playing has stopped because of it

/**
 * Play a video whose `info.play.kind` is "pieces" in an element.
 * @param {HTMLVideoElement} video
 * @param {{id: string, play: {type: string, pieces: [number, number][]}}} info
 * @returns {() => void} detach: take it out again
 */
export function attachPieces(video, info) {
  const Source = window.MediaSource ?? window.ManagedMediaSource;
  if (!Source?.isTypeSupported(info.play.type)) {
    tell(video, "pieceproblem", `This browser cannot play ${info.play.type}.`);
    return () => {};
  }
  const source = new Source();
  const address = URL.createObjectURL(source);
  const over = new AbortController();
  if (window.ManagedMediaSource && Source === window.ManagedMediaSource) video.disableRemotePlayback = true;
  source.addEventListener("sourceopen", () => {
    URL.revokeObjectURL(address);
    if (!over.signal.aborted) feed(video, source, info, over.signal);
  }, { once: true });
  video.poster = `${path("videos", info.id, "still")}?at_s=0&height=360`;
  video.src = address;
  return () => {
    over.abort();
    tell(video, "piecewaiting", false);
    video.removeAttribute("src");
    video.removeAttribute("poster");
    video.load();
  };
}

/** Keep the pieces around the playhead in the source, until the signal says that it is over. */
function feed(video, source, info, signal) {
  const { pieces, type } = info.play;
  const total = pieces[pieces.length - 1][1];
  const failed = new Map();
  let fetching = null;
  let running = false;
  const alive = () => !signal.aborted && source.readyState !== "closed"; // closed: the element has let go of it
  source.duration = total;
  const buffer = source.addSourceBuffer(type);
  buffer.appendWindowEnd = total;

  const numberAt = (time) => {
    let [low, high] = [0, pieces.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pieces[middle][0] <= time + 1e-3) low = middle;
      else high = middle - 1;
    }
    return low;
  };

  const has = (number) => {
    if (!alive()) return false;
    const [start, end] = pieces[number];
    const slack = Math.min(SLACK_S, (end - start) / 4);
    for (let i = 0; i < buffer.buffered.length; i += 1) {
      if (buffer.buffered.start(i) <= start + slack && buffer.buffered.end(i) >= end - slack) return true;
    }
    return false;
  };

  /** The first piece from the playhead on that is needed and neither there nor failed; -1 where there is none. */
  const missing = () => {
    const until = video.currentTime + (video.paused ? AHEAD_PAUSED_S : AHEAD_S);
    for (let k = numberAt(video.currentTime); k < pieces.length && pieces[k][0] < until; k += 1) {
      if (!failed.has(k) && !has(k)) return k;
    }
    return -1;
  };

  const updated = () => new Promise((resolve) => buffer.addEventListener("updateend", resolve, { once: true }));

  const remove = async (start, end) => {
    if (!alive() || end <= start) return;
    buffer.remove(start, end);
    await updated();
  };

  const evict = async (behind, ahead) => {
    if (!alive()) return;
    const ranges = buffer.buffered;
    const [first, last] = ranges.length ? [ranges.start(0), ranges.end(ranges.length - 1)] : [0, 0];
    const [from, to] = [numberAt(video.currentTime - behind), numberAt(video.currentTime + ahead)];
    if (first < pieces[from][0] - SLACK_S) await remove(first, pieces[from][0]);
    if (last > pieces[to][1] + SLACK_S) await remove(pieces[to][1], last);
  };

  const append = async (number, content) => {
    for (const [behind, ahead] of [[KEPT_BEHIND_S, KEPT_AHEAD_S], [5, 10], [0, 0]]) {
      await evict(behind, ahead);
      if (!alive()) return;
      try {
        buffer.timestampOffset = pieces[number][0];
        buffer.appendBuffer(content);
        await updated();
        break;
      } catch (problem) {
        if (problem.name !== "QuotaExceededError") throw problem;
      }
    }
    if (alive() && !has(number)) fail(number, "it holds no pictures that this browser can show");
  };

  const fail = (number, problem) => {
    failed.set(number, problem);
    tell(video, "pieceproblem", problem);
  };

  /** Bring a piece and put it in; what is no more wanted on the way is given up. */
  const load = async (number) => {
    fetching = { number, stop: new AbortController() };
    const stop = AbortSignal.any([signal, fetching.stop.signal]);
    tell(video, "piecewaiting", number === numberAt(video.currentTime));
    try {
      const content = await bring(path("videos", info.id, "pieces", String(number)), stop);
      fetching = null;
      await append(number, content);
    } catch (problem) {
      if (!stop.aborted && alive()) fail(number, problem.message);
    } finally {
      fetching = null;
      if (!signal.aborted) tell(video, "piecewaiting", false);
    }
  };

  /** Where the piece at the playhead cannot be had, go on behind it. */
  const passOver = () => {
    if (video.ended) return;
    let number = numberAt(video.currentTime);
    const [, end] = pieces[number];
    if (!failed.has(number) && failed.has(number + 1) && !video.paused && end - video.currentTime < NEAR_S && has(number)) {
      if (video.readyState <= HTMLMediaElement.HAVE_CURRENT_DATA) number += 1;
    }
    if (!failed.has(number)) return;
    while (failed.has(number)) number += 1;
    if (number < pieces.length) video.currentTime = pieces[number][0] + 1e-3;
  };

  /** Say that nothing follows, once what can be had up to the end is there. */
  const close = () => {
    let last = pieces.length - 1;
    while (failed.has(last)) last -= 1;
    const near = last < 0 || pieces[last][1] - video.currentTime < AHEAD_S;
    if (source.readyState === "open" && !buffer.updating && near && (last < 0 || has(last))) source.endOfStream();
  };

  const pump = async () => {
    if (running || !alive()) return;
    running = true;
    try {
      for (let next = missing(); next >= 0 && alive(); next = missing()) {
        await load(next);
        if (alive()) passOver();
      }
      if (!alive()) return;
      passOver();
      close();
    } finally {
      running = false;
    }
  };

  const sought = () => {
    if (!alive()) return;
    if (fetching && fetching.number !== missing()) fetching.stop.abort();
    passOver();
    pump();
  };
  video.addEventListener("seeking", sought, { signal });
  for (const event of ["timeupdate", "play", "waiting", "stalled"]) {
    video.addEventListener(event, () => alive() && (passOver(), pump()), { signal });
  }
  source.addEventListener("startstreaming", pump, { signal });
  pump();
}

/** The bytes of a piece; a server that is away or busy is asked again. */
async function bring(address, signal) {
  for (let tries = 0; ; tries += 1) {
    let reply = null;
    try {
      reply = await fetch(address, { credentials: "same-origin", signal });
    } catch (problem) {
      if (signal.aborted) throw problem;
      setAway(true);
    }
    if (reply) setAway(false);
    if (reply?.ok) return reply.arrayBuffer();
    if (reply && reply.status !== 503) throw new Error(await problemOf(reply));
    await pause(Math.min(5000, 300 * 2 ** tries), signal);
  }
}

function tell(video, event, detail) {
  video.dispatchEvent(new CustomEvent(event, { detail }));
}
