// The choice of a speaking style and its strength; hidden where the server has no style.

import { listStyles } from "./api.js";
import { remembered } from "./storage.js";

const SETTLING_MS = 120;
const $ = (id) => document.getElementById(id);

export class StyleChoice {
  #onChange;
  #timer = 0;

  /** @param {(speaking: {style: string | null, style_strength: number}) => void} onChange runs when the user chooses another one */
  constructor(onChange) {
    this.#onChange = onChange;
    $("strength").value = remembered.get("strength") ?? "1";
    $("style").addEventListener("change", () => this.#changed());
    $("strength").addEventListener("input", () => { // while it is moved, but not at every step
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#changed(), SETTLING_MS);
    });
  }

  /** Ask the server for its styles. */
  async load() {
    const styles = await listStyles().catch(() => []);
    const options = styles.map((name) => Object.assign(document.createElement("option"), { value: name, textContent: name }));
    $("style").replaceChildren($("style").options[0], ...options);
    const wanted = remembered.get("style");
    $("style").value = styles.includes(wanted) ? wanted : "";
    $("style-field").hidden = styles.length === 0;
  }

  /** What sessions are told. */
  get speaking() {
    if ($("style-field").hidden) return { style: null, style_strength: 1 };
    return { style: $("style").value || null, style_strength: Number($("strength").value) };
  }

  #changed() {
    remembered.set("style", $("style").value);
    remembered.set("strength", $("strength").value);
    this.#onChange(this.speaking);
  }
}
