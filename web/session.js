// One conversation with a presenter of this server: a session and the link to it.

import { changeStyle, createSession, deleteSession, sayText, sendOffer } from "./api.js";
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
   * @param {{style: string | null, style_strength: number}} speaking
   */
  async start(presenter, microphone, speaking) {
    this.#id = (await createSession(presenter, microphone ? "voice" : "off", speaking)).id;
    if (this.closed) return this.#release();
    const exchange = async (offer) => (await sendOffer(this.#id, offer)).sdp;
    return this.connect(exchange, microphone);
  }

  /** Have the presenter speak a text, after the earlier ones. */
  say(text) {
    this.#saying = this.#saying.catch(() => {}).then(() => sayText(this.#id, text));
    return this.#saying;
  }

  /** Speak in another style from now on. */
  async speakIn(speaking) {
    if (this.#id) await changeStyle(this.#id, speaking);
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
