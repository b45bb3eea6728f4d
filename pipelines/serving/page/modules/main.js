/**
 * The page. Reads the address, asks the server what there is, and gives every module its region.
 *
 * Conventions of the modules (plain ES modules; no build, nothing from other hosts, no inline script or style):
 *
 * - A module that shows something exports `mountX(container, app)`, is called once, and fills only its container (an
 *   element of index.html). Its looks are in style/<module>.css; colours and spaces come from style/tokens.css, buttons,
 *   fields, panels and dialogs from style/base.css. A section with `hidden` is unhidden by the module that fills it.
 * - Elements are made with `h()`, `svg()` and `fill()` of dom.js, never from markup in a string. Sentences, names and
 *   file names get `dir: "auto"` and class "long" or "clip". Numbers that line up get class "number".
 * - `app` is what modules share:
 *     app.state     the store (store.js), below; `app.state.watch(["video"], draw)` draws now and on every change,
 *                   `watchPart` only where a part of it has changed (a question changes with every event)
 *     app.player    player.js: seek(s), play(), pause(), toggle(), time(), loop(s, e), unloop(), onTime(fn), element
 *     app.axis      axis/axis.js: addLane({...}), removeLane(id), redraw(), view(), onView(fn), zoomTo(s, e); see there
 *     app.openVideo(id, {moment, seek_s})   show a video; a moment {start_s, end_s, score, checkpoint, rank} is chosen, too
 *     app.choose(moment | null, {play})     choose a moment of the shown video: seeks to it, loops it, shows its words
 *     app.ask(query, {scope})               ask, as the form does
 *     app.showQuestion(question)            show a question of the state, beside a video that it asks about
 *     app.truthChanged()                    read the true windows again (after a correction)
 *     app.videosChanged()                   read the list of videos again (after an upload)
 *     app.say(text)                         one line for screen readers
 *     app.notice(text | null, {failed})     one line under the header for all to see, until the next or until closed
 * - The state (all values replaced, never changed in place):
 *     server     reply of GET /api/state, or null before it came
 *     videos     list of GET /api/videos
 *     video      id of the shown video, or null
 *     info       reply of GET /api/videos/{id} of it, or null
 *     problem    one line: why it cannot be shown, or null
 *     truth      queries of GET /api/videos/{id}/truth of it ([] before they came)
 *     questions  what this page asked, the last one last; those that run go on, whatever is shown (asked.js, question.js)
 *     asked      key of the shown one, or null
 *     question   the shown one (of scope "library": with found, as of SearchMessage), which follows from these two: {key, id, query, state, place, reading, n_done, n_total, answers: [Answer…], failed: [{video, problem}…], scope:
 *                "video" | "all" | "library", videos, checkpoints, top, min_exists, show_all, note} or null; a new object for every event
 *     answers    follows from them, too: the answers of the question to the shown video, one per checkpoint, in the order of the checkpoints
 *     moment     the chosen moment {start_s, end_s, score, checkpoint, rank}, or null
 *     loop       [start_s, end_s] that plays in a circle, or null
 *     draft      corrections that are being drawn (correct.js)
 * - Hooks of other modules, called from here or from where they are named:
 *     folder.js    mountFolder(region("folder"), app); renderResults(region("results"), question, app) for scope "all"
 *     uploads.js   mountUploads(region("uploads"), app)
 *     exports.js   mountExports(region("exports"), app); cutButton(app, video_id, moment) -> a button for one moment
 *     correct.js   mountCorrections(region("corrections"), app); it adds its own lane with app.axis.addLane
 *     pieces.js    attachPieces(video element, info) -> detach(), called by player.js where info.play.kind is "pieces"
 * - Keys are bound with `bind()` of keys.js, which lists them in the help dialog.
 * - Calls go through api.js: `get(path("videos", id))`, `post(path("words"), {...})`; an ApiError's message is one line
 *   to show as it is.
 */

import { get, onAway, path } from "./api.js";
import { askedSo, keyFor, shownOf } from "./asked.js";
import { region } from "./dom.js";
import { isNarrow } from "./narrow.js";
import { createStore } from "./store.js";
import { readPlace, writePlace } from "./place.js";
import { mountNotice } from "./notice.js";
import { mountHelp } from "./help.js";
import { mountAsk } from "./ask.js";
import { mountPlayer } from "./player.js";
import { mountAxis } from "./axis/axis.js";
import { mountAnswers } from "./answers.js";
import { mountWords } from "./words.js";
import { renderFound } from "./library.js";
import { mountFolder, renderResults } from "./folder.js";
import { mountUploads } from "./uploads.js";
import { mountExports } from "./exports.js";
import { mountCorrections } from "./correct.js";
import { videoOf } from "./question.js";
import { inOrder } from "./video_rows.js";

const NO_VIDEO = { info: null, problem: null, truth: [], moment: null, loop: null };

const NOTHING = { server: null, videos: [], video: null, questions: [], asked: null, question: null, answers: [], draft: null };

const state = createStore({ ...NOTHING, ...NO_VIDEO }, shownOf);
const app = { state, openVideo, choose, truthChanged, videosChanged, showQuestion };

let opening = new AbortController();
let moving = false; // while an address is being followed, which is then not written to

/** Show a video; nothing is asked. */
async function openVideo(id, { moment = null, seek_s = null } = {}) {
  if (id !== state.get().video) {
    opening.abort();
    opening = new AbortController();
    const { signal } = opening;
    state.set({ ...NO_VIDEO, video: id, asked: keyFor(state.get(), id) });
    if (id === null) return;
    try {
      state.set({ info: await get(path("videos", id), { signal }) });
      truthChanged().catch((problem) => app.notice(problem.message, { failed: true })); // the video plays without
    } catch (problem) {
      if (signal.aborted) return;
      state.set({ problem: problem.message });
      app.say(problem.message);
    }
  }
  if (moment) choose(moment, { play: false });
  else if (seek_s !== null) app.player.seek(seek_s);
}

async function truthChanged() {
  const { video } = state.get();
  if (video === null) return;
  const { queries } = await get(path("videos", video, "truth"));
  if (state.get().video === video) state.set({ truth: queries });
}

async function videosChanged() {
  state.set({ videos: (await get(path("videos"))).videos });
}

/** Choose a moment of the shown video: it loops from its start. */
function choose(moment, { play = true } = {}) {
  state.set({ moment });
  if (!moment) return app.player.unloop();
  app.player.loop(moment.start_s, moment.end_s);
  app.player.seek(moment.start_s);
  if (play) app.player.play();
}

function showResults({ question }) {
  const room = region("results");
  room.hidden = question?.scope !== "all";
  if (!room.hidden) renderResults(room, question, app);
  const found = region("found");
  found.hidden = question?.scope !== "library";
  if (!found.hidden) renderFound(found, question, app);
}

async function start() {
  mountNotice(region("notice"), region("live"), app);
  onAway((away) => app.notice(away ? "The server does not answer; trying again…" : null, { failed: away }));
  app.player = mountPlayer(region("player"), app);
  app.axis = mountAxis(region("axis"), app);
  Object.assign(app, mountAsk(region("ask"), app)); // ask, show
  mountAnswers(region("answers"), app);
  mountWords(region("words"), app);
  mountFolder(region("folder"), app);
  mountUploads(region("uploads"), app);
  mountExports(region("exports"), app);
  mountCorrections(region("corrections"), app);
  mountHelp(region("tools"));
  state.watch(["question"], showResults);
  if (isNarrow()) region("library-fold").open = false;
  const [server, { videos }] = await Promise.all([get(path("state")), get(path("videos"))]);
  state.set({ server, videos });
  goTo(readPlace());
  state.watch(["video", "question"], (now) => moving || writePlace(now));
  window.addEventListener("popstate", () => goTo(readPlace()));
}

/** Show what an address says: its video, and its question, asked again where it is not known any more. */
function goTo(place) {
  const { videos, server, questions } = state.get();
  const video = place.video ?? server.first ?? (videos.length ? inOrder(videos)[0].video.id : null);
  moving = true;
  openVideo(video).catch((problem) => app.notice(problem.message, { failed: true }));
  const asks = place.query !== null || place.like !== null;
  const known = asks ? askedSo(questions, place, video) : null;
  app.show(known?.key ?? null);
  if (asks && !known && (place.query || place.like)) app.ask(place.query ?? "", place);
  moving = false;
}

/** A question of before, beside a video that it asks about. */
function showQuestion(question) {
  moving = true; // one step, not two
  openVideo(videoOf(question, state.get().video)).catch((problem) => app.notice(problem.message, { failed: true }));
  app.show(question.key);
  moving = false;
  writePlace(state.get());
}

start().catch((problem) => app.notice(problem.message, { failed: true }));
