/**
 * One moment as a strip of stills with a little of what comes before and after; it plays while it is pointed at or
 * focused: the file itself where a browser plays it, its stills in turn where not, nothing where motion is not wanted.
 */

import { path } from "./api.js";
import { h } from "./dom.js";
import { clock } from "./times.js";

const N_STILLS = 7;
const CONTEXT = 0.3; // seconds before and after, per second of the moment
const LEAST_CONTEXT_S = 1;
const MOST_CONTEXT_S = 6;
const DWELL_MS = 180; // so that a pointer on its way elsewhere starts nothing
const STILL_MS = 450;

/** Stops the strip that plays; there is one at a time on the page. */
let stopPlaying = () => {};

/**
 * What a strip shows.
 *
 * @param {{start_s: number, end_s: number}} moment
 * @param {number} durationS the video's length
 * @param {number} [n] how many stills
 * @returns {{fromS: number, toS: number, times: number[]}} the part that the strip spans, and the time of each still,
 *   from the middle of its part
 */
export function stripOf(moment, durationS, n = N_STILLS) {
  const context = Math.min(MOST_CONTEXT_S, Math.max(LEAST_CONTEXT_S, CONTEXT * (moment.end_s - moment.start_s)));
  const fromS = Math.max(0, moment.start_s - context);
  const toS = Math.max(Math.min(durationS, moment.end_s + context), fromS + 0.01);
  const times = Array.from({ length: n }, (_, k) => fromS + ((k + 0.5) * (toS - fromS)) / n);
  return { fromS, toS, times: times.map((time) => Math.round(100 * time) / 100) };
}

/**
 * Where a video's picture of a time is.
 *
 * @param {string} video its id
 * @param {number} atS
 * @param {90 | 180 | 360} height in pixels
 */
export function stillAddress(video, atS, height) {
  return `${path("videos", video, "still")}?at_s=${atS}&height=${height}`;
}

/**
 * A button that shows a moment and opens it.
 *
 * @param {object} what
 * @param {string} what.video id
 * @param {string} what.name for people
 * @param {{start_s: number, end_s: number}} what.moment
 * @param {number} what.durationS
 * @param {(video: string) => Promise<{play: {kind: string, type: string}} | null>} what.info asked when it is to play
 * @param {() => void} what.open
 * @returns {HTMLButtonElement}
 */
export function filmstrip({ video, name, moment, durationS, info, open }) {
  const { fromS, toS, times } = stripOf(moment, durationS);
  const inside = (time) => time >= moment.start_s && time <= moment.end_s;
  const middle = Math.round(50 * (moment.start_s + moment.end_s)) / 100;
  const lead = still(video, Math.min(middle, Math.max(0, durationS - 0.05)), 180, "filmstrip-lead-still");
  const screen = h("span", { class: "filmstrip-lead" }, lead);
  const half = (toS - fromS) / times.length / 2;
  // a picture stands for its part of the strip: where the bar is, it is not greyed
  const covered = (time) => time + half > moment.start_s + 1e-6 && time - half < moment.end_s - 1e-6;
  const stills = times.map((time) => still(video, time, 90, covered(time) ? "is-inside" : "is-outside"));
  const mark = h("span", { class: "filmstrip-mark" });
  const head = h("span", { class: "filmstrip-head", hidden: true });
  const part = (time) => String((time - fromS) / (toS - fromS));
  mark.style.setProperty("--from", part(Math.max(fromS, moment.start_s)));
  mark.style.setProperty("--to", part(Math.min(toS, moment.end_s)));
  const button = h(
    "button",
    {
      type: "button",
      class: "filmstrip",
      "aria-label": `Open ${name} at ${clock(moment.start_s)}, to ${clock(moment.end_s)}`,
    },
    screen,
    h("span", { class: "filmstrip-strip" }, ...stills, mark, head),
  );
  button.addEventListener("click", open);
  const show = (time) => {
    head.hidden = time === null;
    if (time !== null) head.style.setProperty("--at", part(Math.min(toS, Math.max(fromS, time))));
  };
  const shown = times.map((time, k) => ({ time, still: stills[k] })).filter(({ time }) => inside(time));
  const turns = shown.length > 1 ? shown : times.map((time, k) => ({ time, still: stills[k] }));
  playsWhileLookedAt(button, () => play({ video, moment, screen, lead, turns, info, show }));
  return button;
}

/** A picture that is fetched when it comes into view; what it shows is said by the button around it. */
function still(video, atS, height, kind) {
  return h("img", {
    class: `filmstrip-still ${kind}`,
    src: stillAddress(video, atS, height),
    alt: "",
    loading: "lazy",
    decoding: "async",
    draggable: "false",
  });
}

/** Calls start after a moment of pointing or focus, and what it returns at the end of both. */
function playsWhileLookedAt(button, start) {
  let timer = 0;
  let stop = null;
  const begin = () => {
    if (stop || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      stopPlaying();
      const end = start();
      stop = () => {
        end();
        stop = null;
        stopPlaying = () => {};
      };
      stopPlaying = stop;
    }, DWELL_MS);
  };
  const end = () => {
    clearTimeout(timer);
    stop?.();
  };
  button.addEventListener("pointerenter", (event) => event.pointerType !== "touch" && begin());
  button.addEventListener("pointerleave", end);
  button.addEventListener("focus", () => button.matches(":focus-visible") && begin());
  button.addEventListener("blur", end);
  button.addEventListener("click", end);
}

/** Plays the moment again and again; returns what ends it. */
function play({ video, moment, screen, lead, turns, info, show }) {
  let end = () => {};
  let over = false;
  const inTurn = () => {
    if (!over) end = playStills(lead, turns, show);
  };
  info(video)
    .catch(() => null) // the strip shows what it has; why a video does not open is said where it is opened
    .then((about) => {
      if (over) return;
      if (about?.play.kind === "file") end = playFile({ video, moment, screen, show, failed: inTurn });
      else inTurn();
    });
  return () => {
    over = true;
    end();
    show(null);
  };
}

function playFile({ video, moment, screen, show, failed }) {
  const player = h("video", {
    class: "filmstrip-player",
    tabindex: "-1",
    "aria-hidden": "true",
    preload: "auto",
    disablepictureinpicture: true,
  });
  player.muted = true;
  player.playsInline = true;
  const end = () => {
    player.onerror = null;
    player.pause();
    player.remove();
    player.removeAttribute("src");
    player.load(); // lets go of the connection
  };
  player.onerror = () => {
    end();
    failed();
  };
  player.onloadedmetadata = () => (player.currentTime = moment.start_s);
  player.onseeked = () => player.classList.add("is-shown");
  player.ontimeupdate = () => {
    if (player.currentTime >= moment.end_s || player.ended) player.currentTime = moment.start_s;
    if (player.classList.contains("is-shown")) show(player.currentTime);
  };
  player.onended = () => {
    player.currentTime = moment.start_s;
    player.play().catch(() => {});
  };
  player.src = path("videos", video, "file");
  screen.append(player);
  player.play().catch(() => {}); // refused or ended meanwhile: the still stays
  return end;
}

function playStills(lead, turns, show) {
  const own = lead.src;
  let k = 0;
  const next = () => {
    const { time, still: picture } = turns[k % turns.length];
    lead.src = picture.src;
    show(time);
    k += 1;
  };
  next();
  const timer = setInterval(next, STILL_MS);
  return () => {
    clearInterval(timer);
    lead.src = own;
  };
}
