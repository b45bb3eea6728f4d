/** The server's calls: JSON there and back, every error one line, and patience while the server is away. */

/** What the server refused, or that it did not answer. `status` is 0 where it did not answer. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** An address of the API; each part is one segment: path("videos", "a/b.mp4", "file") -> /api/videos/a%2Fb.mp4/file */
export function path(...parts) {
  return "/api/" + parts.map(encodeURIComponent).join("/");
}

/** Called with true when the server stops answering and with false when it is back. */
export function onAway(tell) {
  tellers.add(tell);
}
const tellers = new Set();
let away = false;

/** Say whether the server answers, where it is not asked from here. */
export function setAway(now) {
  if (away === now) return;
  away = now;
  for (const tell of tellers) tell(now);
}

/**
 * Read an address. A server that does not answer is asked again until it does.
 * @param {string} address from `path`, with its ?query
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export function get(address, { signal } = {}) {
  return call(address, { signal }, true);
}

/**
 * Send JSON.
 * @param {string} address
 * @param {object} body
 * @param {{signal?: AbortSignal, again?: boolean, until?: AbortSignal}} [options] again: sending it twice does no harm, so a
 *   server that does not answer is asked again until it does, or until `until` says that nobody waits; what is under way
 *   is not broken off by that
 * @returns {Promise<any>}
 */
export function post(address, body, { signal, again = false, until = signal } = {}) {
  const headers = { "Content-Type": "application/json" };
  return call(address, { method: "POST", headers, body: JSON.stringify(body), signal }, again, until);
}

/**
 * Send JSON and get the reply as it is (a file to save).
 * @returns {Promise<Response>}
 */
export function postForFile(address, body, { signal } = {}) {
  const headers = { "Content-Type": "application/json" };
  return answered(address, { method: "POST", headers, body: JSON.stringify(body), signal }, false);
}

/** Wait; less when the signal says so. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal?.removeEventListener("abort", stop), resolve()), milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

async function call(address, options, again, until) {
  return (await answered(address, options, again, until)).json();
}

async function answered(address, options, again, until = options.signal) {
  for (let tries = 0; ; tries += 1) {
    let reply;
    try {
      reply = await fetch(address, { credentials: "same-origin", cache: "no-store", ...options });
    } catch (problem) {
      if (until?.aborted) throw problem;
      setAway(true);
      if (!again) throw new ApiError("the server does not answer; is `spikemba serve` still running?", 0);
      await pause(Math.min(5000, 300 * 2 ** tries), until);
      continue;
    }
    setAway(false);
    if (!reply.ok) throw new ApiError(await problemOf(reply), reply.status);
    return reply;
  }
}

/** The one line that the server says of what it refused. @param {Response} reply */
export async function problemOf(reply) {
  try {
    const said = await reply.json();
    if (typeof said.error === "string") return said.error;
  } catch {
    // no JSON: the status is all there is to say
  }
  return `the server answered ${reply.status} ${reply.statusText}`.trim();
}
