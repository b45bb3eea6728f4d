/** Server-sent events of one question, read to their end through lost connections and servers that were restarted. */

import { ApiError, pause, problemOf, setAway } from "./api.js";

/**
 * Read an event stream until its `end`; a connection that breaks is taken up again after the last event that came.
 * @param {string} address
 * @param {(name: string, data: any) => void} tell
 * @param {AbortSignal} signal
 * @returns {Promise<void>} resolved at the end
 * @throws {ApiError} what the server refuses; status 404 where it does not know the question (any more)
 */
export async function follow(address, tell, signal) {
  let last = null;
  let ended = false;
  const take = (event) => {
    if (event.id !== null) last = event.id;
    if (event.name === "end") ended = true;
    else if (event.data) tell(event.name, JSON.parse(event.data));
  };
  for (let tries = 0; !ended; tries += 1) {
    try {
      const headers = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const reply = await fetch(address, { headers, credentials: "same-origin", cache: "no-store", signal });
      setAway(false);
      if (!reply.ok) throw new ApiError(await problemOf(reply), reply.status);
      await readEvents(reply.body, (event) => ((tries = 0), take(event)));
    } catch (problem) {
      if (signal.aborted || problem instanceof ApiError) throw problem;
      setAway(true);
    }
    if (!ended) await pause(Math.min(5000, 300 * 2 ** tries), signal);
  }
}

/** Read a stream's events: lines `event:`, `data:`, `id:`, closed by an empty line; comments are left out. */
async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "message", data: "", id: null };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data || event.name !== "message") take(event);
        event = { name: "message", data: "", id: null };
      } else readLine(line, event);
    }
  }
}

function readLine(line, event) {
  const colon = line.indexOf(":");
  if (colon === 0) return;
  const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
  if (name === "event") event.name = value;
  else if (name === "data") event.data += (event.data ? "\n" : "") + value;
  else if (name === "id") event.id = value;
}
