// A viewer of a running session, by WHEP (draft-ietf-wish-whep): the offer is sent by POST, the resource that is returned
// is deleted when the viewer stops.

import { Link } from "./link.js";

const TEXTS = {
  401: "The link to this presentation has expired, or is not complete.",
  403: "This link is not for this presentation.",
  404: "This presentation has ended.",
};

/** An error response of the server. */
export class WhepError extends Error {
  constructor(status) {
    super(TEXTS[status] ?? `The server refused to show this presentation (${status}).`);
    this.status = status;
  }

  /** Whether a retry may help. */
  get passes() {
    return this.status >= 500;
  }
}

/** A `Link` that receives only. */
export class Viewer extends Link {
  #resource = null;
  #authorization = {};

  /** Resolves once the connection is established. `endpoint` is the session's WHEP address, `token` one that may watch it, if viewers need one. */
  watch(endpoint, token = "") {
    this.#authorization = token ? { Authorization: `Bearer ${token}` } : {};
    return this.connect(async (offer) => {
      const headers = { "Content-Type": "application/sdp", ...this.#authorization };
      const response = await fetch(endpoint, { method: "POST", headers, body: offer.sdp });
      if (response.status !== 201) throw new WhepError(response.status);
      this.#resource = new URL(response.headers.get("Location"), response.url);
      if (this.closed) this.#leave();
      return response.text();
    });
  }

  #leave() {
    if (this.#resource) fetch(this.#resource, { method: "DELETE", keepalive: true, headers: this.#authorization }).catch(() => {});
    this.#resource = null;
  }

  /** Safe at any time and more than once. */
  close() {
    super.close();
    this.#leave();
  }
}
