/** Times as people read them. */

/**
 * 81.34 -> "01:21.3"; 3681.3 -> "1:01:21.3".
 * @param {number} seconds
 * @param {number} [digits] of the second, 0 to 3
 */
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.round(Math.max(0, seconds) * scale);
  const minutes = Math.floor(whole / (60 * scale));
  const rest = (whole - minutes * 60 * scale) / scale;
  const tail = rest.toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${pad(minutes % 60)}:${tail}` : `${pad(minutes)}:${tail}`;
}

/** "00:21.3 – 00:25.8" */
export function span(start, end, digits = 1) {
  return `${clock(start, digits)} – ${clock(end, digits)}`;
}

/** For screen readers: 81.3 -> "1 minute 21.3 seconds". */
export function spoken(seconds) {
  const tenths = Math.round(Math.max(0, seconds) * 10);
  const [hours, minutes, rest] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, (tenths % 600) / 10];
  const parts = [counted(hours, "hour"), counted(minutes, "minute")].filter((_, i) => [hours, minutes][i]);
  return [...parts, counted(rest, "second")].join(" ");
}

/** 130 -> "2 min", 45 -> "45 s", 5000 -> "1 h 23 min". */
export function roughly(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** "1:02:03.4", "62:03", "93.5" or, with the comma of many languages, "93,5" -> seconds; null for what is no time. */
export function parsed(text) {
  const parts = text.trim().split(":");
  const isPart = (one, i) => /^(\d+([.,]\d*)?|[.,]\d+)$/.test(one) && (i === parts.length - 1 || /^\d+$/.test(one));
  const numbers = parts.map((one) => Number(one.replace(",", ".")));
  if (parts.length > 3 || !parts.every(isPart) || numbers.slice(1).some((one) => one >= 60)) return null;
  return numbers.reduce((sum, one) => sum * 60 + one, 0);
}

function counted(n, unit) {
  return `${n} ${unit}${n === 1 ? "" : "s"}`;
}

function pad(n) {
  return String(n).padStart(2, "0");
}
