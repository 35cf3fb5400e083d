// The dialog that enrols a presenter from a photo or a video.

import { enroll } from "./api.js";
import { canRecord, Recorder } from "./recorder.js";

const $ = (id) => document.getElementById(id);
const dialog = $("enroll");
const NAME = /^[\p{L}\p{N}][\p{L}\p{N}\p{M} _.'’ʼ·-]{0,39}$/u;

let busy = false;
let chosen = null; // the file that was chosen or recorded
let recorder = null; // while the camera is on

function fail(message) {
  $("enroll-error").textContent = message;
  $("enroll-error").hidden = !message;
}

function showFile(file) {
  chosen = file ?? null;
  const isVideo = Boolean(file?.type.startsWith("video/"));
  for (const [preview, shown] of [[$("preview"), Boolean(file) && !isVideo], [$("preview-video"), isVideo]]) {
    if (preview.src) URL.revokeObjectURL(preview.src);
    preview.removeAttribute("src");
    preview.srcObject = null;
    preview.hidden = !shown;
    if (shown) preview.src = URL.createObjectURL(file);
  }
  $("drop").classList.toggle("filled", Boolean(file));
  $("personalize-field").hidden = !isVideo;
}

/** Show the camera in the place of the file, with an oval where the face should be. */
function showCamera(stream) {
  showFile(null);
  $("preview-video").srcObject = stream;
  $("preview-video").hidden = false;
  $("drop").classList.add("filled");
}

function setRecording(value) {
  $("record").textContent = value ? "Stop recording" : "Record with your camera";
  $("guide").hidden = !value;
  $("drop").classList.toggle("camera", value);
  $("photo").disabled = value;
  $("enroll-submit").disabled = value;
  if (!value) $("record-text").textContent = "";
}

async function record() {
  if (recorder) return stopRecording();
  fail("");
  const current = (recorder = new Recorder());
  current.addEventListener("step", ({ detail }) => ($("record-text").textContent = `${detail.text} · ${detail.left} s`));
  setRecording(true);
  try {
    showCamera(await current.open());
    await $("preview-video").play().catch(() => {}); // it is shown as soon as it has a picture
    const file = await current.record();
    if (recorder === current) showFile(file);
  } catch (error) {
    if (recorder === current) showFile(null);
    fail(error.message);
  } finally {
    if (recorder === current) {
      recorder = null;
      setRecording(false);
    }
  }
  return undefined;
}

function stopRecording() {
  recorder?.stop();
  recorder = null;
  showFile(null);
  setRecording(false);
}

function setBusy(value) {
  busy = value;
  $("progress").hidden = !value;
  $("enroll-submit").disabled = value;
  for (const id of ["photo", "name", "face", "personalize", "consent", "record"]) $(id).disabled = value;
}

function showProgress(fraction, message) {
  $("progress-bar").value = fraction;
  $("progress-text").textContent = message;
}

function problem(file, name) {
  if (!file) return "Choose or record a photo or a video first.";
  if (!NAME.test(name)) return "Give a name of letters, digits, spaces, hyphens, apostrophes or dots, at most 40 characters.";
  if (!$("consent").checked) return "Confirm that the person shown has agreed.";
  return "";
}

async function submit(onDone) {
  const file = chosen;
  const name = $("name").value.trim();
  const message = problem(file, name);
  fail(message);
  if (message || busy) return;
  setBusy(true);
  try {
    const presenter = await enroll(file, name, { face: Number($("face").value), personalize: $("personalize").checked }, showProgress);
    dialog.close();
    onDone(presenter);
  } catch (error) {
    fail(error.message);
  } finally {
    setBusy(false);
  }
}

/** Wire the dialog; `onDone({name, warnings})` runs when a presenter is ready for use. Returns a function that opens it. */
export function prepareEnroll(onDone) {
  $("record-field").hidden = !canRecord();
  $("record").addEventListener("click", record);
  dialog.addEventListener("close", () => recorder && stopRecording());
  $("enroll-close").addEventListener("click", () => dialog.close());
  $("photo").addEventListener("change", () => showFile($("photo").files[0]));
  $("enroll-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit(onDone);
  });
  dialog.addEventListener("cancel", (event) => busy && event.preventDefault());
  for (const type of ["dragenter", "dragover"]) $("drop").addEventListener(type, () => $("drop").classList.add("over"));
  for (const type of ["dragleave", "drop"]) $("drop").addEventListener(type, () => $("drop").classList.remove("over"));
  return () => {
    if (!busy) {
      $("enroll-form").reset();
      showFile(null);
      fail("");
    }
    dialog.showModal();
  };
}
