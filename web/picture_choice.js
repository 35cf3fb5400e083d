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
    $("video").addEventListener("resize", () => this.#layOut());
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
    const frame = document.querySelector(".frame"), { videoWidth, videoHeight } = $("video");
    frame.dataset.shape = $("shape").value;
    // Only the photo has a shape that is not known before it is seen.
    if ($("shape").value === "photo" && videoWidth) frame.style.setProperty("--shape", videoWidth / videoHeight);
    else frame.style.removeProperty("--shape");
  }
}
