// Captions: words or sentences become lines of text. Times are unix ms of the server's clock.

const LINE_CHARACTERS = 64; // two rows of a subtitle
const SHORT_CHARACTERS = 24; // a shorter line continues after a full stop
const PAUSE_MS = 700; // a longer one begins a new line
const LINGER_MS = 1200;
const LOOK_MS = 80;

/** Collects captions and returns the line for a time. */
export class Captions {
  #lines = [];

  /** Add one caption: a word or a phrase, later than those before it. */
  add({ text, start_ms: startMs, end_ms: endMs }) {
    const line = this.#lines.at(-1);
    if (line && startMs - line.endMs < PAUSE_MS && goesOn(joined(line.pieces), text)) {
      line.pieces.push({ text, startMs });
      line.endMs = endMs;
    } else {
      this.#lines.push({ pieces: [{ text, startMs }], startMs, endMs });
    }
  }

  /** The line at `nowMs`, up to the words spoken so far, or "" in a pause. */
  at(nowMs) {
    this.#lines = this.#lines.filter(({ endMs }) => endMs + LINGER_MS > nowMs);
    const line = this.#lines.findLast(({ startMs }) => startMs <= nowMs);
    return line ? joined(line.pieces.filter(({ startMs }) => startMs <= nowMs)) : "";
  }

  /** Drop all captions: they will not be played. */
  clear() {
    this.#lines = [];
  }
}

const joined = (pieces) => pieces.map(({ text }) => text).join(" ");

function goesOn(line, text) {
  if (line.length > SHORT_CHARACTERS && /[.!?…]$/.test(line)) return false;
  return line.length + text.length < LINE_CHARACTERS;
}

/** Show the captions of a link's presenter in `element` until the link is closed. */
export function showCaptions(link, element) {
  const captions = new Captions();
  link.addEventListener("caption", ({ detail }) => captions.add(detail));
  link.addEventListener("flush", () => captions.clear());
  const timer = setInterval(() => {
    const text = link.closed ? "" : captions.at(link.heardMs);
    if (element.textContent !== text) element.textContent = text;
    if (link.closed) clearInterval(timer);
  }, LOOK_MS);
}
