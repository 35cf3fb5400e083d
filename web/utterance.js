// One utterance of a bot, and the credit of the server's buffer. Part of client.js.

const SLICE_MS = 100; // of one message

/** One utterance: write its audio as it arrives, then end it. Made by `Presenter.speak`. */
export class Utterance {
  #bytesPerMs;
  #credit;
  #send;
  #live = true;

  constructor(id, bytesPerSecond, credit, send) {
    this.id = id;
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#credit = credit;
    this.#send = send;
  }

  /**
   * Send audio, waiting while the server's buffer is full.
   *
   * @param {Int16Array | Uint8Array | ArrayBuffer} pcm 16-bit little-endian; pieces of any length, also within a sample
   * @returns {Promise<boolean>} false once the utterance was interrupted; the rest is not sent
   */
  async write(pcm) {
    const bytes = ArrayBuffer.isView(pcm) ? new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength) : new Uint8Array(pcm);
    const length = Math.ceil(SLICE_MS * this.#bytesPerMs);
    for (let at = 0; at < bytes.length && this.#live; at += length) {
      const slice = bytes.subarray(at, at + length);
      await this.#credit.take(slice.length / this.#bytesPerMs, () => this.#live);
      if (this.#live) this.#send(slice);
    }
    return this.#live;
  }

  /**
   * Give the times of words, for captions.
   *
   * @param {{text: string, start_ms: number, end_ms: number}[]} words times from the start of the utterance
   */
  words(words) {
    if (this.#live) this.#send({ type: "words", words });
  }

  /** Request a `mark` event with this name when all audio written so far has been played. */
  mark(name) {
    if (this.#live) this.#send({ type: "mark", name });
  }

  /** End the utterance. */
  end() {
    if (this.#live) this.#send({ type: "end" });
    this.#live = false;
  }

  /** Send no more, because it was interrupted. */
  cancel() {
    this.#live = false;
    this.#credit.wake();
  }
}

/** How much audio may be sent in total, and how much was sent, in milliseconds; audio in transit included. */
export class Credit {
  #grantedMs = 0;
  #sentMs = 0;
  #waiting = [];

  grant(totalMs) {
    this.#grantedMs = totalMs;
    this.wake();
  }

  /** Let all waiting `take` calls check again. */
  wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when `ms` fit and are taken, or when `wanted` no longer holds. */
  async take(ms, wanted) {
    while (wanted() && this.#sentMs + ms > this.#grantedMs) await new Promise((resolve) => this.#waiting.push(resolve));
    if (wanted()) this.#sentMs += ms;
  }
}
