/** The questions that this page asked: which one is shown, which go on unseen, which can be forgotten. No elements here. */

const RUNNING = ["waiting", "working"];
const MOST_KEPT = 20; // questions that are over

/** Whether a question still waits or works. */
export function isRunning(question) {
  return question !== null && RUNNING.includes(question.state);
}

/** Whether a question asks about a video. */
export function isAbout({ scope, videos }, video) {
  return scope !== "video" || videos.includes(video);
}

/** The question that is to be shown beside a video: the shown one while it asks about it, else the last that does. */
export function keyFor({ questions, asked }, video) {
  const about = questions.filter((one) => isAbout(one, video));
  return (about.find((one) => one.key === asked) ?? about.at(-1))?.key ?? null;
}

/** The question that was asked so, or null. place: as of readPlace() */
export function askedSo(questions, place, video) {
  const same = (one) => one.query === (place.query ?? "") && one.scope === place.scope && one.show_all === place.show_all && isAbout(one, video) && sameParts(one, place);
  const how = (one) => one.top === (place.top ?? usualTop(place.scope)) && one.min_exists === place.min_exists && (!place.checkpoints.length || one.checkpoints.join() === place.checkpoints.join());
  return questions.findLast((one) => same(one) && how(one) && !["failed", "cancelled"].includes(one.state)) ?? null;
}

/** How many moments are asked for as usual: of a video, or of the whole library. */
export function usualTop(scope) {
  return scope === "library" ? 10 : 5;
}

/** Whether two questions to the library look for the same among the same videos, their sentences aside. */
function sameParts(a, b) {
  const part = ({ like }) => (like ? `${like.video} ${like.start_s} ${like.end_s}` : "");
  return part(a) === part(b) && (a.only ?? "") === (b.only ?? "") && (a.picture ?? null) === (b.picture ?? null);
}

/** What a question asks with, in words: its sentence, or what the server calls the part or the picture. */
export function wordsOf({ query, said }) {
  return query || (said ? `like ${said}` : "like that");
}

/** A question takes the place of the one that asked about the same. @returns {{questions: object[], former: object | null}} */
export function withNew(questions, question) {
  const again = (one) => one.query === question.query && sameParts(one, question);
  const inPlace = { video: (one) => isAbout(one, question.videos[0]), all: () => true, library: again }[question.scope];
  const former = questions.find((one) => one.scope === question.scope && inPlace(one)) ?? null;
  const others = questions.filter((one) => one !== former);
  const over = others.filter((one) => !isRunning(one));
  const forgotten = new Set(over.slice(0, Math.max(0, over.length - MOST_KEPT)));
  return { questions: [...others.filter((one) => !forgotten.has(one)), question], former };
}

/** Those that go on, or have ended, while another was looked at. */
export function unseen({ questions, asked }) {
  return questions.filter((one) => one.key !== asked && (isRunning(one) || one.news));
}

/**
 * What follows from the state: the shown question, and its answers to the shown video in the order in which the checkpoints
 * were asked; the same list while they are the same.
 */
export function shownOf({ questions, asked, video, answers: before }) {
  const question = questions.find((one) => one.key === asked) ?? null;
  const order = question?.checkpoints ?? [];
  const own = (question?.answers ?? []).filter((one) => one.video_id === video);
  own.sort((a, b) => order.indexOf(a.checkpoint) - order.indexOf(b.checkpoint));
  const same = own.length === before.length && own.every((one, i) => one === before[i]);
  return { question, answers: same ? before : own };
}
