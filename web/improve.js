// "Make it better": learning a presenter's mouth from the frames that are kept of its video, in its row of the gallery.

import { ApiError, followJob, personalize, pictureUrl, stopJob } from "./api.js";

const FIGURES = [
  ["psnr_db", "Likeness (PSNR)", (value) => `${value.toFixed(1)} dB`],
  ["ssim", "Structure (SSIM)", (value) => value.toFixed(3)],
  ["lmd_px", "Lips off by (LMD)", (value) => `${value.toFixed(2)} px`],
  ["sharpness", "Sharpness, video = 1", (value) => value.toFixed(2)],
];
const EXPLAINED = "Learns this person’s mouth from frames kept of the video. Takes up to ten minutes; you can go on meanwhile.";

/** The server's progress in plain words. */
function plain(message) {
  const seconds = Number(/at most (\d+) s left/.exec(message)?.[1]);
  if (seconds) return `Learning, at most ${seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} seconds`} left`;
  return message.startsWith("Before") ? "Learning" : message;
}

function made(tag, properties = {}, ...content) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...content);
  return element;
}

function cells(tag, texts) {
  return made("tr", {}, ...texts.map((textContent) => made(tag, { textContent })));
}

/** What was gained, in figures and pictures. */
async function report({ better, before, after, picture }, name) {
  const verdict = better
    ? `${name} is better now, on frames it has not learnt from.`
    : `It did not get better, so ${name} stays as it was.`;
  const table = made("table", {}, cells("th", ["", "Before", "After"]));
  for (const [key, title, text] of FIGURES) table.append(cells("td", [title, text(before[key]), text(after[key])]));
  const shown = made("figure", {},
    made("img", { src: await pictureUrl(picture), alt: `Mouths of ${name}: as filmed, before and after` }),
    made("figcaption", {}, ...["As filmed", "Before", "After"].map((textContent) => made("span", { textContent }))));
  return made("div", { className: "report" }, made("p", { textContent: verdict, role: "status" }), shown, table);
}

/** The jobs that run, and the reports of those that have ended, by presenter; they outlive the rows that show them. */
export class Improvements {
  #onEnd;
  #jobs = new Map(); // name → {id, fraction, message}
  #reports = new Map(); // name → element
  #places = new Map(); // name → element

  /** @param {(name: string) => void} onEnd runs when a presenter may have changed */
  constructor(onEnd) {
    this.#onEnd = onEnd;
  }

  /** What a row shows of a presenter of the server's list; a job that runs there already is followed. */
  place({ name, can_personalize: possible, job }) {
    const place = made("div", { className: "improve" });
    place.possible = possible;
    this.#places.set(name, place);
    if (job && !this.#jobs.has(name)) this.#follow(name, { id: job, state: "running" });
    this.#draw(name);
    return place;
  }

  #draw(name, error = "") {
    const place = this.#places.get(name);
    if (!place) return;
    const job = this.#jobs.get(name);
    const content = [];
    if (job) content.push(...this.#progress(name, job));
    else if (this.#reports.has(name)) content.push(this.#reports.get(name));
    else if (place.possible) content.push(...this.#offer(name));
    if (error) content.push(made("p", { className: "form-error", role: "alert", textContent: error }));
    place.hidden = !content.length;
    place.replaceChildren(...content);
  }

  #offer(name) {
    const button = made("button", { type: "button", textContent: "Make it better" });
    button.setAttribute("aria-label", `Make ${name} better`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        this.#follow(name, await personalize(name));
        this.#draw(name);
      } catch (error) {
        this.#draw(name, error.message);
      }
    });
    return [made("p", { textContent: EXPLAINED }), button];
  }

  #progress(name, job) {
    job.bar ??= made("progress", { max: 1 });
    job.text ??= made("p", { role: "status" });
    job.bar.value = job.fraction ?? 0;
    job.bar.setAttribute("aria-label", `Making ${name} better`);
    job.text.textContent = plain(job.message ?? "Waiting");
    if (!job.stop) {
      job.stop = made("button", { type: "button", textContent: "Stop" });
      job.stop.setAttribute("aria-label", `Stop making ${name} better`);
      job.stop.addEventListener("click", () => {
        job.stop.disabled = true;
        job.stopped = true;
        stopJob(job.id).catch((error) => this.#draw(name, error.message));
      });
    }
    return [job.bar, job.text, job.stop];
  }

  async #follow(name, begun) {
    const job = { id: begun.id };
    this.#jobs.set(name, job);
    let error = "";
    try {
      const done = await followJob(begun, (fraction, message) => {
        Object.assign(job, { fraction, message });
        this.#progress(name, job);
      });
      this.#reports.set(name, await report(done, name));
    } catch (failure) {
      if (!job.stopped) error = failure instanceof ApiError ? failure.message : String(failure);
    }
    this.#jobs.delete(name);
    await this.#onEnd(name);
    this.#draw(name, error);
  }
}
