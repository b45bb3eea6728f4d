/**
 * Server-sent events of one question, read to their end through lost connections.
 *
 * The browser's own EventSource goes on after the last event by itself. It does not say why a server refused it, so that
 * is asked for. Where the stream begins anew, events come twice; whoever takes them must not mind.
 */

import { get, setAway } from "./api.js";

const KINDS = ["state", "answer", "failed", "found", "end"];
const CLOSE_MS = 3000;

/**
 * @param {string} question address of the question; its events are below it
 * @param {(name: string, data: any) => void} tell
 * @param {AbortSignal} signal nothing is told after it
 * @returns {Promise<void>} resolved at the end
 * @throws {import("./api.js").ApiError} what the server refuses; status 404 where it does not know the question (any more)
 */
export async function follow(question, tell, signal) {
  while (!(await toEnd(`${question}/events`, tell, signal))) await get(question, { signal });
}

/** One stream: true at its end, false where the server refused it or it cannot be taken up again. */
function toEnd(address, tell, signal) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(address);
    let ended = false;
    signal.addEventListener("abort", () => {
      closeSoon(source); // the server, told to cancel, ends it in a moment
      reject(signal.reason);
    });
    const take = ({ type, data }) => {
      if (signal.aborted || ended) return;
      ended = type === "end";
      if (data) tell(type, JSON.parse(data));
      if (ended) closeSoon(source);
      if (ended) resolve(true);
    };
    for (const kind of KINDS) source.addEventListener(kind, take);
    source.addEventListener("open", () => setAway(false));
    source.addEventListener("error", () => {
      if (ended || signal.aborted) return source.close(); // the server has closed it
      if (source.readyState === EventSource.CLOSED) return resolve(false);
      setAway(true);
    });
  });
}

/** Closed by the server, or by us where it does not. To close it sooner would look like a request that failed. */
function closeSoon(source) {
  setTimeout(() => source.close(), CLOSE_MS);
}
