// One thing that a bot says, and the room that the server has for it. Part of client.js.

const SLICE_MS = 100; // of one message

/** One thing to say: write its sound as it comes, then end it. Made by `Presenter.speak`. */
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
   * Send sound, waiting while the server's buffer is full.
   *
   * @param {Int16Array | Uint8Array | ArrayBuffer} pcm 16-bit little-endian; pieces of any length, also within a sample
   * @returns {Promise<boolean>} false once the utterance was interrupted: the rest is not wanted
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
   * Say when words sound, for captions.
   *
   * @param {{text: string, start_ms: number, end_ms: number}[]} words times from the start of the utterance
   */
  words(words) {
    if (this.#live) this.#send({ type: "words", words });
  }

  /** Ask for a `mark` event with this name when all that was written so far has been played. */
  mark(name) {
    if (this.#live) this.#send({ type: "mark", name });
  }

  /** No more sound will come. */
  end() {
    if (this.#live) this.#send({ type: "end" });
    this.#live = false;
  }

  /** Send nothing more, because it was interrupted. */
  cancel() {
    this.#live = false;
    this.#credit.wake();
  }
}

/** How much sound may be sent in all, and how much was, in milliseconds: what is on its way counts as well. */
export class Credit {
  #grantedMs = 0;
  #sentMs = 0;
  #waiting = [];

  grant(totalMs) {
    this.#grantedMs = totalMs;
    this.wake();
  }

  /** Let those who wait look again. */
  wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when `ms` fit and are taken, or when `wanted` no longer holds. */
  async take(ms, wanted) {
    while (wanted() && this.#sentMs + ms > this.#grantedMs) await new Promise((resolve) => this.#waiting.push(resolve));
    if (wanted()) this.#sentMs += ms;
  }
}
