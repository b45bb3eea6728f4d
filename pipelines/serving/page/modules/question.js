/** One question at a time: asked, followed to its end, asked again where the server forgot it, cancelled. */

import { ApiError, get, path, post } from "./api.js";
import { follow } from "./events.js";

const RUNNING = ["waiting", "working"];
const ASKING_AGAIN = "The server was restarted; asking again.";

/** Whether a question still waits or works. */
export function isRunning(question) {
  return question !== null && RUNNING.includes(question.state);
}

/**
 * @param app whose state's `question` is kept here
 * @returns {{ask: (body: object, about: object) => Promise<void>, cancel: () => void}} body as of POST /api/questions;
 *   about: what else the state's question shall hold
 */
export function createQuestions(app) {
  let current = new AbortController();

  async function ask(body, about) {
    cancel();
    current = new AbortController();
    const { signal } = current;
    const shown = { ...body, ...about, id: null, state: "waiting", place: null, reading: null, n_done: 0, n_total: 0, answers: [], failed: [], note: null };
    app.state.set({ question: shown, moment: null, loop: null });
    try {
      await untilEnd(body, shown, signal);
    } catch (problem) {
      if (signal.aborted) return;
      change({ state: "failed", note: problem.message });
    }
  }

  async function untilEnd(body, shown, signal) {
    for (let note = null; ; note = ASKING_AGAIN) {
      const reply = await post(path("questions"), body, { until: signal, again: true });
      if (signal.aborted) return void dropped(reply.id); // only now has it a name by which it can be cancelled
      app.state.set({ question: { ...shown, ...own(reply), checkpoints: reply.checkpoints ?? shown.checkpoints, note } });
      try {
        await follow(path("questions", reply.id), take, signal);
        break;
      } catch (problem) {
        if (!(problem instanceof ApiError && problem.status === 404)) throw problem;
        app.say(ASKING_AGAIN);
      }
    }
    const { question } = app.state.get();
    if (isRunning(question)) change(own(await get(path("questions", question.id), { signal })));
    change({ note: null });
  }

  function take(name, data) {
    const { answers, failed } = app.state.get().question;
    if (name === "state" || name === "end") change(own(data));
    else if (name === "answer") change({ answers: [...answers.filter((one) => !same(one, data)), data] });
    else if (name === "failed") change({ failed: [...failed.filter((one) => one.video !== data.video), data] });
  }

  function change(patch) {
    app.state.set({ question: { ...app.state.get().question, ...patch } });
  }

  function cancel() {
    const { question } = app.state.get();
    current.abort();
    if (!isRunning(question)) return;
    change({ state: "cancelled" });
    if (question.id) dropped(question.id);
  }

  return { ask, cancel };
}

/** Tell the server that nobody waits for a question. */
function dropped(id) {
  post(path("questions", id, "cancel"), {}).catch(() => {}); // a server that is gone works no more
}

/** What a reply says of the question itself; its answers come as events, or with a whole reply. */
function own({ id, state, place, reading, n_done, n_total, answers, failed }) {
  const said = { id, state, place, reading, n_done, n_total, answers, failed };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

function same(a, b) {
  return a.video_id === b.video_id && a.checkpoint === b.checkpoint;
}
