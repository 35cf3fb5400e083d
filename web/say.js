// The text box under the stage: the presenter speaks what is typed.

import { getVoice } from "./api.js";

const $ = (id) => document.getElementById(id);

/** Shown only where the server has a voice. Its button speaks the typed text, or interrupts. */
export class SayBox {
  #actions;
  #speaking = false;

  /**
   * @param {{say: (text: string) => Promise<boolean>, interrupt: () => void, report: (error: Error) => void}} actions
   */
  constructor(actions) {
    this.#actions = actions;
    $("say-text").addEventListener("input", () => this.#show());
    $("say").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#stops) actions.interrupt();
      else this.#say($("say-text").value.trim());
    });
  }

  /** Ask the server whether it has a voice; if it has none, show how to install one. */
  async load() {
    const voice = await getVoice().catch(() => ({ available: false, message: "" }));
    $("say").hidden = !voice.available;
    $("say-hint").hidden = voice.available || !voice.message;
    $("say-hint").textContent = voice.message;
  }

  /** Whether the presenter speaks now. */
  set speaking(speaking) {
    this.#speaking = speaking;
    this.#show();
  }

  get #stops() {
    return this.#speaking && !$("say-text").value.trim();
  }

  #show() {
    $("say").classList.toggle("speaking", this.#stops);
    const button = $("say-button");
    button.setAttribute("aria-label", this.#stops ? "Stop speaking" : "Say");
    button.title = this.#stops ? "Stop speaking (Esc)" : "";
    button.disabled = !this.#stops && !$("say-text").value.trim();
  }

  async #say(text) {
    if (!text) return;
    $("say-text").value = "";
    this.#show();
    const said = await this.#actions.say(text).catch(this.#actions.report);
    if (said) return;
    $("say-text").value ||= text; // keep the typed text
    this.#show();
  }
}
