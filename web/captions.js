// What is being said, as lines to read along. Words or whole sentences come in; times are unix ms of the server's clock.

const LINE_CHARACTERS = 64; // two rows of a subtitle
const SHORT_CHARACTERS = 24; // a shorter line goes on after a full stop
const PAUSE_MS = 700; // a longer one begins a new line
const LINGER_MS = 1200;
const LOOK_MS = 80;

/** Collects captions and says which line belongs to a moment. */
export class Captions {
  #lines = [];

  /** Take one caption: a word or a phrase, later than those before it. */
  add({ text, start_ms: startMs, end_ms: endMs }) {
    const line = this.#lines.at(-1);
    if (line && startMs - line.endMs < PAUSE_MS && goesOn(joined(line.pieces), text)) {
      line.pieces.push({ text, startMs });
      line.endMs = endMs;
    } else {
      this.#lines.push({ pieces: [{ text, startMs }], startMs, endMs });
    }
  }

  /** The line of `nowMs` as far as it has been said, or "" in a pause. */
  at(nowMs) {
    this.#lines = this.#lines.filter(({ endMs }) => endMs + LINGER_MS > nowMs);
    const line = this.#lines.findLast(({ startMs }) => startMs <= nowMs);
    return line ? joined(line.pieces.filter(({ startMs }) => startMs <= nowMs)) : "";
  }

  /** Forget everything: it will not be said. */
  clear() {
    this.#lines = [];
  }
}

const joined = (pieces) => pieces.map(({ text }) => text).join(" ");

function goesOn(line, text) {
  if (line.length > SHORT_CHARACTERS && /[.!?…]$/.test(line)) return false;
  return line.length + text.length < LINE_CHARACTERS;
}

/** Show in `element` what a link's presenter is saying, for as long as the link lives. */
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
