/** The questions of this page: asked, followed to their end side by side, asked again where the server forgot them, cancelled. */

import { ApiError, get, path, pause, post } from "./api.js";
import { isAbout, isRunning, withNew } from "./asked.js";
import { follow } from "./events.js";

export { isRunning };

const ASKING_AGAIN = "The server was restarted; asking again.";
const MOST_STREAMS = 3; // a browser opens six connections to a server, and the video needs some
const LOOK_MS = 2500; // between two looks at a question without a stream

let made = 0;

/**
 * @param app whose state's `questions` and `asked` are kept here; a question about the same video, or about all, takes the
 *   place of the former one, which is cancelled; all others go on, so that the library may be asked several
 * @returns {{ask: (body: object, about: object) => Promise<void>, cancel: (key?: number) => void, show: (key: number | null) => void}}
 *   body as of POST /api/questions, or of /api/searches where the scope is the library; about: what else the state's question shall hold; cancel: the shown one, or that of a key
 */
export function createQuestions(app) {
  const ends = new Map(); // key -> AbortController
  let streams = 0;

  const find = (key) => app.state.get().questions.find((one) => one.key === key) ?? null;

  /** What became of a question; nothing where it is forgotten meanwhile. */
  function change(key, patch) {
    const { questions } = app.state.get();
    app.state.set({ questions: questions.map((one) => (one.key === key ? { ...one, ...patch } : one)) });
  }

  async function ask(body, about) {
    const key = (made += 1);
    const { signal } = ends.set(key, new AbortController()).get(key);
    const asked = { ...body, ...about, key, id: null, state: "waiting", place: null, reading: null, n_done: 0, n_total: 0, answers: [], failed: [], found: null, note: null, news: false };
    const { questions, former } = withNew(app.state.get().questions, asked);
    if (former) cancel(former.key);
    app.state.set({ questions, asked: key, moment: null, loop: null });
    try {
      await untilEnd(body, about, key, signal);
    } catch (problem) {
      if (!signal.aborted) change(key, { state: "failed", note: problem.message });
    }
    ends.delete(key);
    if (app.state.get().asked !== key && !signal.aborted) change(key, { news: true });
  }

  async function untilEnd(body, about, key, signal) {
    for (let note = null; ; note = ASKING_AGAIN) {
      const reply = await post(path(roomOf(find(key) ?? about)), body, { until: signal, again: true });
      if (signal.aborted) return void dropped(about, reply.id); // only now has it a name by which it can be cancelled
      const fresh = note ? { answers: [], failed: [] } : {};
      change(key, { ...fresh, ...own(reply), ...(reply.checkpoints ? { checkpoints: reply.checkpoints } : {}), note });
      try {
        await toItsEnd(key, signal);
        break;
      } catch (problem) {
        if (!(problem instanceof ApiError && problem.status === 404)) throw problem;
        app.say(ASKING_AGAIN);
      }
    }
    if (isRunning(find(key))) change(key, own(await get(path(roomOf(find(key)), find(key).id), { signal })));
    change(key, { note: null });
  }

  /** By its events; where many are followed already, by a look now and then. */
  async function toItsEnd(key, signal) {
    const address = path(roomOf(find(key)), find(key).id);
    while (streams >= MOST_STREAMS) {
      await pause(LOOK_MS, signal);
      change(key, own(await get(address, { signal })));
      if (!isRunning(find(key))) return;
    }
    streams += 1;
    try {
      await follow(address, (name, data) => take(key, name, data), signal);
    } finally {
      streams -= 1;
    }
  }

  function take(key, name, data) {
    const question = find(key);
    if (!question) return;
    const { answers, failed } = question;
    if (name === "state" || name === "end" || name === "found") change(key, own(data));
    else if (name === "answer") change(key, { answers: [...answers.filter((one) => !same(one, data)), data] });
    else if (name === "failed") change(key, { failed: [...failed.filter((one) => one.video !== data.video), data] });
  }

  function cancel(key = app.state.get().asked) {
    const question = find(key);
    ends.get(key)?.abort();
    if (!isRunning(question)) return;
    change(key, { state: "cancelled" });
    if (question.id) dropped(question, question.id);
  }

  /** Show a question beside the shown video, about which it asks, or none. */
  function show(key) {
    if (app.state.get().asked !== key) app.state.set({ asked: key, moment: null, loop: null });
  }

  app.state.watch(["asked"], ({ asked }) => find(asked)?.news && change(asked, { news: false }));
  return { ask, cancel, show };
}

/** The video beside which a question can be shown: the shown one where it asks about that. */
export function videoOf(question, video) {
  return isAbout(question, video) ? video : question.videos[0];
}

/** Tell the server that nobody waits for a question. */
function dropped(question, id) {
  post(path(roomOf(question), id, "cancel"), {}).catch(() => {}); // a server that is gone works no more
}

/** Where a question is asked. */
function roomOf({ scope }) {
  return scope === "library" ? "searches" : "questions";
}

/** What a reply says of the question itself; its answers come as events, or with a whole reply. */
function own({ id, query, state, place, reading, n_done, n_total, answers, failed, found, problem }) {
  const searched = found === undefined ? {} : { found, checkpoints: found ? [found.checkpoint] : undefined };
  const said = { id, said: query, state, place, reading, n_done, n_total, answers, failed, problem, ...searched };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

function same(a, b) {
  return a.video_id === b.video_id && a.checkpoint === b.checkpoint;
}
