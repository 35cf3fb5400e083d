// One conversation with a presenter of this server: a session and the link to it.

import { changeSession, createSession, deleteSession, sayText, sendOffer } from "./api.js";
import { Link } from "./link.js";

/** A `Link` that opens its session and ends it. */
export class Session extends Link {
  #id = null;
  #saying = Promise.resolve();

  /**
   * Resolves once the connection is established; rejects with LinkError or ApiError.
   *
   * @param {string} presenter
   * @param {MediaStream | null} microphone what the presenter says; without one it speaks typed text only
   * @param {{style?: string | null, style_strength?: number, size?: string, background?: string}} manner
   */
  async start(presenter, microphone, manner) {
    this.#id = (await createSession(presenter, microphone ? "voice" : "off", manner)).id;
    if (this.closed) return this.#release();
    const exchange = async (offer) => (await sendOffer(this.#id, offer)).sdp;
    return this.connect(exchange, microphone);
  }

  /** Have the presenter speak a text, after the earlier ones. */
  say(text) {
    this.#saying = this.#saying.catch(() => {}).then(() => sayText(this.#id, text));
    return this.#saying;
  }

  /** Speak or be shown in another manner from now on. */
  async change(manner) {
    if (this.#id) await changeSession(this.#id, manner);
  }

  async #release() {
    const id = this.#id;
    this.#id = null;
    if (id) await deleteSession(id);
  }

  /** Safe at any time and more than once; resolves when the session has ended. */
  close() {
    super.close();
    return this.#release();
  }
}
