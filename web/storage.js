// What the page stores. A browser may refuse storage (blocked cookies, a sandboxed frame): then it is kept until the page closes.

class Store {
  #area;
  #kept = new Map();

  /** @param {() => Storage} area reading `window.localStorage` alone may throw */
  constructor(area) {
    this.#area = area;
  }

  get(key) {
    try {
      return this.#kept.get(key) ?? this.#area().getItem(`presenter.${key}`) ?? "";
    } catch {
      return "";
    }
  }

  set(key, value) {
    this.#kept.set(key, value);
    try {
      this.#area().setItem(`presenter.${key}`, value);
    } catch {
      // The copy in memory is used until the page is closed.
    }
  }
}

export const remembered = new Store(() => localStorage);
export const thisTab = new Store(() => sessionStorage);
