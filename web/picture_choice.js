// The choice of the picture's shape and background.

import { remembered } from "./storage.js";

const $ = (id) => document.getElementById(id);

export class PictureChoice {
  #onChange;

  /** @param {(shown: {size: string, background: string}) => void} onChange runs when the user chooses another one */
  constructor(onChange) {
    this.#onChange = onChange;
    for (const id of ["shape", "background"]) {
      const known = [...$(id).options].map(({ value }) => value);
      if (known.includes(remembered.get(id))) $(id).value = remembered.get(id);
      $(id).addEventListener("change", () => this.#changed(id));
    }
    this.#layOut();
  }

  /** What sessions are told. */
  get shown() {
    return { size: $("shape").value, background: $("background").value };
  }

  #changed(id) {
    remembered.set(id, $(id).value);
    this.#layOut();
    this.#onChange(this.shown);
  }

  #layOut() {
    document.querySelector(".frame").dataset.shape = $("shape").value;
  }
}
