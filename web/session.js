// One conversation with a presenter of this server: a seat, and the link to it.

import { createSession, deleteSession, sayText, sendOffer } from "./api.js";
import { Link } from "./link.js";

/** A `Link` that opens the session it belongs to and gives its seat back. */
export class Session extends Link {
  #id = null;
  #saying = Promise.resolve();

  /**
   * Resolves once the connection stands; rejects with LinkError or ApiError.
   *
   * @param {string} presenter
   * @param {MediaStream} [microphone] what the presenter says; without one it speaks typed text only
   */
  async start(presenter, microphone) {
    this.#id = (await createSession(presenter, microphone ? "voice" : "off")).id;
    if (this.closed) return this.#release();
    const exchange = async (offer) => (await sendOffer(this.#id, offer)).sdp;
    return this.connect(exchange, microphone);
  }

  /** Let the presenter say a text, after those before it. */
  say(text) {
    this.#saying = this.#saying.catch(() => {}).then(() => sayText(this.#id, text));
    return this.#saying;
  }

  async #release() {
    const id = this.#id;
    this.#id = null;
    if (id) await deleteSession(id);
  }

  /** Safe at any time and more than once; resolves when the seat is free. */
  close() {
    super.close();
    return this.#release();
  }
}
