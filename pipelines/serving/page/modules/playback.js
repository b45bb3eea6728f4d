/** Time of the video: seeking before it is loaded, loops, and who wants to know where it is. */

const LOOP_SLACK_S = 0.02;

/**
 * @param {HTMLVideoElement} video
 * @param {ReturnType<import("./store.js").createStore>} state whose `info` is the shown video and whose `loop` is kept here
 */
export function createPlayback(video, state) {
  const tellers = new Set();
  let wanted = null; // where to go once the file is loaded
  let watching = 0;

  const duration = () => state.get().info?.duration_s ?? 0;
  const time = () => wanted ?? video.currentTime;
  const tell = () => tellers.forEach((one) => one(time()));

  function goTo(seconds) {
    const at = Math.min(Math.max(0, seconds), Math.max(0, duration() - 0.01));
    if (video.readyState >= HTMLMediaElement.HAVE_METADATA) video.currentTime = at;
    else wanted = at;
    tell();
  }

  function seek(seconds) {
    const { loop } = state.get();
    if (loop && (seconds < loop[0] - LOOP_SLACK_S || seconds > loop[1] + LOOP_SLACK_S)) unloop();
    goTo(seconds);
  }

  function play() {
    const { loop } = state.get();
    if (loop && time() >= loop[1] - LOOP_SLACK_S) goTo(loop[0]);
    video.play().catch(() => {}); // a browser may want a click first; the button stays
  }

  const pause = () => video.pause();
  const toggle = () => (video.paused ? play() : pause());

  function step(frames) {
    pause();
    seek(time() + frames / (state.get().info?.fps || 25));
  }

  function loop(start_s, end_s) {
    state.set({ loop: [start_s, end_s] });
  }

  function unloop() {
    state.set({ loop: null });
  }

  function look() {
    const { loop: round } = state.get();
    if (round && !video.seeking && !video.paused && video.currentTime >= round[1] - LOOP_SLACK_S) goTo(round[0]);
    tell();
    watching = video.paused ? 0 : requestAnimationFrame(look);
  }

  video.addEventListener("play", () => (watching ||= requestAnimationFrame(look)));
  video.addEventListener("ended", () => {
    const { loop: round } = state.get();
    if (round) play();
  });
  video.addEventListener("loadedmetadata", () => {
    if (wanted !== null) video.currentTime = wanted;
    wanted = null;
    tell();
  });
  for (const event of ["timeupdate", "seeked", "emptied"]) video.addEventListener(event, tell);
  state.watch(["video"], () => (wanted = null));
  state.watch(["info"], tell);

  return {
    element: video,
    state,
    duration,
    time,
    seek,
    play,
    pause,
    toggle,
    step,
    loop,
    unloop,
    /** Call `fn(seconds)` now and whenever the time changes, up to once per picture of the screen. */
    onTime(fn) {
      tellers.add(fn);
      fn(time());
    },
  };
}
