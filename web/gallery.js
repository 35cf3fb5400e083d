// The dialog that renames, improves and deletes the user's own presenters, and shows the damaged ones.

import { deletePresenter, renamePresenter } from "./api.js";
import { Improvements } from "./improve.js";

const $ = (id) => document.getElementById(id);

function button(text, label, type = "button") {
  const made = Object.assign(document.createElement("button"), { type, textContent: text });
  made.setAttribute("aria-label", label);
  return made;
}

/** Resolves to whether the user confirms the deletion. */
function confirmDeletion(name) {
  const dialog = $("confirm");
  $("confirm-title").textContent = `Delete “${name}”?`;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"), { once: true }));
}

export class Gallery {
  #onChange;
  #improvements;

  /**
   * @param {(name: string, now?: string) => Promise<void>} onChange runs after presenter `name` was renamed to `now` or deleted, or
   * may have become better (`now` is `name`)
   */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#improvements = new Improvements((name) => onChange(name, name));
    $("manage").addEventListener("click", () => {
      this.#fail("");
      $("gallery").showModal();
    });
    $("gallery-close").addEventListener("click", () => $("gallery").close());
  }

  /** `presenters`: as the server lists them, `damaged`: `[{name, problem}]`. */
  update(presenters, damaged) {
    const rows = [
      ...presenters.filter(({ own }) => own).map((presenter) => this.#row(presenter)),
      ...damaged.map(({ name, problem }) => this.#damagedRow(name, problem)),
    ];
    $("gallery-list").replaceChildren(...rows);
    $("manage").hidden = rows.length === 0;
    if (!rows.length) $("gallery").close();
  }

  #row(presenter) {
    const { name } = presenter;
    const form = document.createElement("form");
    const input = Object.assign(document.createElement("input"), { value: name, maxLength: 40, required: true });
    input.setAttribute("aria-label", `Name of ${name}`);
    form.append(input, button("Rename", `Rename ${name}`, "submit"), this.#deleteButton(name));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#change(name, () => renamePresenter(name, input.value.trim()));
    });
    return this.#item(form, this.#improvements.place(presenter));
  }

  #damagedRow(name, problem) {
    const form = document.createElement("form");
    form.append(Object.assign(document.createElement("b"), { textContent: name }), this.#deleteButton(name));
    return this.#item(form, Object.assign(document.createElement("small"), { textContent: `Damaged: ${problem}` }));
  }

  #item(...content) {
    const item = document.createElement("li");
    item.append(...content);
    return item;
  }

  #deleteButton(name) {
    const made = button("Delete", `Delete ${name}`);
    made.addEventListener("click", async () => {
      if (await confirmDeletion(name)) await this.#change(name, () => deletePresenter(name).then(() => undefined));
    });
    return made;
  }

  async #change(name, request) {
    this.#fail("");
    try {
      await this.#onChange(name, await request());
    } catch (error) {
      this.#fail(error.message);
    }
  }

  #fail(message) {
    $("gallery-error").textContent = message;
    $("gallery-error").hidden = !message;
  }
}
