/** The video and its controls: play, frames, speed, a loop, sound, full screen. */

import { onAway, path } from "./api.js";
import { fill, h, region } from "./dom.js";
import { icon } from "./icons.js";
import { bind } from "./keys.js";
import { attachPieces } from "./pieces.js";
import { clock, span } from "./times.js";
import { createPlayback } from "./playback.js";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4];
const RETRY_MS = 1500;
const WAIT_MS = 400;

/**
 * Show the player; the shown video follows app.state.
 * @returns {ReturnType<typeof createPlayback>} what app.player is
 */
export function mountPlayer(container, app) {
  const video = h("video", { playsinline: true, preload: "metadata", tabindex: "-1" });
  const problem = h("p", { class: "player-problem", role: "alert", hidden: true, dir: "auto" });
  const player = createPlayback(video, app.state);
  const waits = h("p", { class: "player-waits small", role: "status", hidden: true });
  const screen = h("div", { class: "player-screen" }, video, waits, problem);
  const bar = controls(player, video, () => fullScreen(frame));
  const frame = h("div", { class: "player panel" }, screen, bar);
  video.addEventListener("click", player.toggle);
  fill(container, frame);
  loadWhatIsShown(video, problem, app);
  showWaiting(video, waits, app);
  app.state.watch(["info", "video", "videos"], (now) => fill(region("stage-head"), head(now)));
  app.state.watch(["info"], ({ info }) => (bar.inert = info === null));
  bindKeys(player);
  return player;
}

/** The file of the shown video goes into the element; what cannot be played is said in one line. */
function loadWhatIsShown(video, problem, app) {
  let detach = () => {};
  const say = (text) => {
    problem.hidden = !text;
    problem.textContent = text ?? "";
  };
  let loaded = null;
  app.state.watch(["info", "problem"], ({ info, problem: refused }) => {
    say(refused);
    if (info?.id === loaded) return;
    detach();
    detach = () => {};
    loaded = info?.id;
    if (info) detach = info.play.kind === "pieces" ? attachPieces(video, info) : attachFile(video, info);
    if (info?.width) video.style.setProperty("--ratio", `${info.width} / ${info.height}`);
  });
  video.addEventListener("error", () => {
    const { info } = app.state.get();
    if (!info || !video.error) return;
    if (video.error.code === MediaError.MEDIA_ERR_NETWORK) return void setTimeout(() => takeUpAgain(video), RETRY_MS);
    say(`This browser cannot play ${info.name} (${video.error.message || "it does not know the format"}).`);
  });
  video.addEventListener("loadeddata", () => say(null));
  video.addEventListener("pieceproblem", ({ detail }) => say(detail));
  video.addEventListener("durationchange", () => {
    const { info } = app.state.get();
    if (info?.duration_s === null && Number.isFinite(video.duration)) app.state.set({ info: { ...info, duration_s: video.duration } });
  });
}

/** Say that it loads, or that there is nobody to load it from, where that takes longer than one would not notice. */
function showWaiting(video, line, app) {
  let [timer, away] = [0, false];
  const begins = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (line.hidden = false), WAIT_MS);
  };
  const ends = () => {
    clearTimeout(timer);
    line.hidden = true;
  };
  onAway((now) => {
    away = now;
    line.textContent = away ? "Waiting for the server…" : "Loading…";
  });
  line.textContent = "Loading…";
  for (const event of ["waiting", "seeking"]) video.addEventListener(event, begins);
  for (const event of ["playing", "seeked", "canplay", "error"]) video.addEventListener(event, ends);
  const opens = ({ video: id, info, problem }) => id !== null && !info && !problem;
  video.addEventListener("emptied", () => opens(app.state.get()) || ends());
  app.state.watchPart(["video", "info", "problem"], (now) => [now.video, opens(now)], (now) => (opens(now) ? begins() : ends()));
}

function attachFile(video, info) {
  video.poster = `${path("videos", info.id, "still")}?at_s=0&height=360`;
  video.src = path("videos", info.id, "file");
  return () => {
    video.removeAttribute("src");
    video.removeAttribute("poster");
    video.load();
  };
}

/** After a lost connection: where it was. */
function takeUpAgain(video) {
  const [at, plays] = [video.currentTime, !video.paused];
  if (!video.getAttribute("src")) return;
  video.load();
  video.currentTime = at;
  if (plays) video.play().catch(() => {});
}

function head({ info, video, videos }) {
  if (video === null) return h("p", { class: "soft" }, "No video is chosen.");
  const name = info?.name ?? videos.find((one) => one.id === video)?.name ?? video;
  const facts = info && [
    info.duration_s !== null && clock(info.duration_s),
    info.width && `${info.width} × ${info.height}`,
    info.fps && perSecond(Math.round(info.fps * 100) / 100),
    info.has_sound ? "with sound" : "no sound",
  ].filter(Boolean);
  return [
    h("h2", { class: "clip", dir: "auto", title: name }, name),
    facts && h("p", { class: "soft small number" }, facts.join(" · ")),
    info?.play.kind === "pieces" && h("p", { class: "soft small", dir: "auto" }, `Made playable in pieces: ${info.play.reason}`),
  ];
}

function perSecond(frames) {
  return `${frames} ${frames === 1 ? "frame" : "frames"}/s`;
}

function controls(player, video, full) {
  const play = h("button", { class: "quiet icon", type: "button", onclick: player.toggle });
  const back = button("back", "One frame back (,)", () => player.step(-1));
  const forth = button("forth", "One frame forth (.)", () => player.step(1));
  const [now, total] = [h("span"), h("span", { class: "player-total soft" })];
  const times = h("span", { class: "player-times number small" }, now, total);
  const bar = h("div", { class: "player-controls", role: "group", "aria-label": "Player" });
  const drawPlay = () => {
    const name = video.paused ? "Play" : "Pause";
    fill(play, icon(name.toLowerCase())).setAttribute("aria-label", name);
    play.title = `${name} (space)`;
  };
  for (const event of ["play", "pause", "emptied"]) video.addEventListener(event, drawPlay);
  drawPlay();
  player.onTime((at) => {
    now.textContent = clock(at);
    total.textContent = ` / ${clock(player.duration())}`;
  });
  fill(bar, play, back, forth, times, loopButton(player), speedField(video), soundButton(video), button("full", "Full screen", full));
  return bar;
}

function button(picture, name, act) {
  return h("button", { class: "quiet icon", type: "button", "aria-label": name, title: name, onclick: act }, icon(picture));
}

/** Shown while something loops; pressed, it goes on past the end. */
function loopButton(player) {
  const end = h("button", { class: "quiet player-loop", type: "button", "aria-pressed": "true", onclick: player.unloop });
  player.state.watch(["loop"], ({ loop }) => {
    end.hidden = !loop;
    if (!loop) return;
    fill(end, icon("loop"), h("span", { class: "number" }, span(...loop)));
    end.setAttribute("aria-label", `Stop looping ${span(...loop)}`);
    end.title = "Stop looping (l)";
  });
  return end;
}

function speedField(video) {
  const options = SPEEDS.map((one) => h("option", { value: one, selected: one === 1 }, `${one} ×`));
  const field = h("select", { class: "small", "aria-label": "Speed", title: "Speed", onchange: () => (video.playbackRate = Number(field.value)) }, options);
  video.addEventListener("loadedmetadata", () => (video.playbackRate = Number(field.value)));
  return field;
}

function soundButton(video) {
  const mute = button("sound", "Mute", () => (video.muted = !video.muted));
  video.addEventListener("volumechange", () => {
    fill(mute, icon(video.muted ? "silent" : "sound"));
    mute.setAttribute("aria-pressed", String(video.muted));
  });
  return mute;
}

function fullScreen(frame) {
  if (document.fullscreenElement) document.exitFullscreen();
  else frame.requestFullscreen?.().catch(() => {});
}

function bindKeys(player) {
  bind([" "], player.toggle, { shown: ["space"], help: "play or pause" });
  const far = { ArrowLeft: -1, ArrowRight: 1, "Shift+ArrowLeft": -5, "Shift+ArrowRight": 5 };
  const move = (_, key) => player.seek(player.time() + far[key]);
  bind(["ArrowLeft", "ArrowRight"], move, { shown: ["←", "→"], help: "one second back or forth" });
  bind(["Shift+ArrowLeft", "Shift+ArrowRight"], move, { shown: ["shift ←", "shift →"], help: "five seconds back or forth" });
  bind([",", "."], (_, key) => player.step(key === "," ? -1 : 1), { help: "one frame back or forth" });
  bind(["l"], player.unloop, { help: "stop looping" });
}
