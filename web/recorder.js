// Records the user with the camera: first with closed lips, then talking; what to do is said step by step.

import { LinkError } from "./link.js";

const STEPS = [
  { seconds: 6, text: "Look into the camera, lips closed, and hold still" },
  { seconds: 14, text: "Now talk about anything, as you usually do" },
];
const TYPES = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const BITS_PER_SECOND = 6_000_000;
const ERRORS = {
  NotAllowedError: "The camera is blocked. Allow it for this page in the address bar, then record again.",
  NotFoundError: "No camera was found. Connect one, or choose a photo or a video.",
  NotReadableError: "Another program is using the camera. Close that program, then record again.",
};

/** Whether this browser can record a camera. */
export const canRecord = () => Boolean(window.isSecureContext && navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

/** One recording. Dispatches "step" ({text, left}: seconds of the step that remain) about once a second. */
export class Recorder extends EventTarget {
  #stream = null;
  #recorder = null;
  #stopped = false;

  /** Open the camera; returns its stream, for a preview. Rejects with LinkError. */
  async open() {
    try {
      const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, facingMode: "user" };
      this.#stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      throw new LinkError("No camera", ERRORS[error.name] ?? `The camera did not start: ${error.message || error.name}`);
    }
    if (this.#stopped) this.#release();
    return this.#stream;
  }

  /** Record all steps; resolves to a File, or to null if it was stopped before the end. */
  async record() {
    const type = TYPES.find((each) => MediaRecorder.isTypeSupported(each));
    this.#recorder = new MediaRecorder(this.#stream, { mimeType: type, videoBitsPerSecond: BITS_PER_SECOND });
    const parts = [];
    this.#recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
    const ended = new Promise((resolve) => this.#recorder.addEventListener("stop", resolve));
    this.#recorder.start(1000);
    const finished = await this.#follow();
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
    await ended;
    this.#release();
    const kind = this.#recorder.mimeType.split(";")[0];
    return finished ? new File(parts, `recording.${kind.endsWith("mp4") ? "mp4" : "webm"}`, { type: kind }) : null;
  }

  async #follow() {
    for (const { seconds, text } of STEPS) {
      for (let left = seconds; left > 0; left -= 1) {
        if (this.#stopped) return false;
        this.dispatchEvent(new CustomEvent("step", { detail: { text, left } }));
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    return !this.#stopped;
  }

  /** Stop without a result, and turn the camera off. Safe at any time. */
  stop() {
    this.#stopped = true;
    this.#release();
  }

  #release() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
  }
}
