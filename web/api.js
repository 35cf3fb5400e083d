// Requests to the server, with the access token where one is needed and errors as one type.

import { thisTab } from "./storage.js";

/** A failed request: `code` from the server's `{"error": {"code", "message"}}`, or "network". */
export class ApiError extends Error {
  constructor(code, message, status = 0) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** Move `?token=` from the address into this tab's storage, so that it is not copied along with the link. */
export function adoptToken() {
  const url = new URL(location.href);
  const token = url.searchParams.get("token");
  if (!token) return;
  saveToken(token);
  url.searchParams.delete("token");
  history.replaceState(null, "", url);
}

export function saveToken(token) {
  thisTab.set("token", token.trim());
}

async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  const token = thisTab.get("token");
  if (token) headers.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("network", "The server cannot be reached. Check that it is still running.");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const error = body?.error ?? { code: "http", message: `The server answered ${response.status}.` };
  throw new ApiError(error.code, error.message, response.status);
}

function sendJson(method, path, body) {
  return request(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
    .then((response) => response.json());
}

/**
 * `{presenters: [{name, thumbnail, own, can_personalize, job}], damaged: [{name, problem}]}`, in the server's order; `job` is
 * the id of the one that personalises it, or null.
 */
export async function listPresenters() {
  return (await request("/api/presenters")).json();
}

const presenterUrl = (name) => `/api/presenters/${encodeURIComponent(name)}`;

/** Returns the name as the server keeps it. */
export async function renamePresenter(name, wanted) {
  return (await sendJson("PATCH", presenterUrl(name), { name: wanted })).name;
}

export const deletePresenter = (name) => request(presenterUrl(name), { method: "DELETE" });

const postJson = (path, body) => sendJson("POST", path, body);

/** An object URL of a picture that may need the token, which an `<img src>` cannot send. */
export async function pictureUrl(path) {
  return URL.createObjectURL(await (await request(path)).blob());
}

/** `{available, message}`: whether typed text can be spoken here, and if not, why. */
export async function getVoice() {
  return (await request("/api/voice")).json();
}

/** Names of the speaking styles. */
export async function listStyles() {
  return (await (await request("/api/styles")).json()).styles;
}

/**
 * `microphone`: "voice" when the presenter repeats it, "interrupt" when it only interrupts, "off" when there is none.
 * `manner`: `{style, style_strength, size, background}`, each optional; a `style` of null is the presenter's own.
 */
export const createSession = (presenter, microphone, manner) => postJson("/api/sessions", { presenter, microphone, ...manner });
export const changeSession = (id, manner) =>
  request(`/api/sessions/${id}`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify(manner) });
export const sayText = (id, text) => postJson(`/api/sessions/${id}/say`, { text });
export const sendOffer = (id, description) => postJson(`/api/sessions/${id}/offer`, { sdp: description.sdp, type: description.type });

/** Free the session at once, also while the page is being closed. */
export function deleteSession(id) {
  return request(`/api/sessions/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

/** Learn a presenter's mouth from the frames that are kept of its video; returns the job. */
export const personalize = async (name) => (await request(`${presenterUrl(name)}/personalize`, { method: "POST" })).json();
export const stopJob = (id) => request(`/api/jobs/${id}`, { method: "DELETE" });
export const followJob = (job, onProgress) => follow(job, `/api/jobs/${job.id}`, onProgress);

/** Ask for the state of a job every so often until it has ended or `signal` is aborted; `onProgress(fraction, message)`. */
async function follow(job, path, onProgress, signal) {
  let state = job;
  while (state.state === "queued" || state.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, 400));
    signal?.throwIfAborted();
    state = await (await request(path)).json();
    onProgress(state.progress, state.message);
  }
  if (state.state !== "done") throw new ApiError(state.error.code, state.error.message);
  return state;
}

/**
 * Render a film of the fields of `POST /api/renders`, files and texts; returns it. `onProgress(fraction, message)`; `signal` stops it.
 */
export async function renderFilm(fields, onProgress, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  onProgress(0, "Uploading…");
  const job = await (await request("/api/renders", { method: "POST", body: form, signal })).json();
  const path = `/api/renders/${job.id}`;
  try {
    const done = await follow(job, path, onProgress, signal);
    return await (await request(done.file)).blob();
  } finally {
    await request(path, { method: "DELETE" }).catch(() => {});
  }
}

/**
 * Upload a photo or a video and follow the job to its end; `onProgress(fraction, message)`.
 * `face` chooses one of several in a photo, counted from the left from 1; 0 when there is only one.
 * `personalize`: learn the mouth of the person in the video.
 */
export async function enroll(file, name, { face, personalize }, onProgress) {
  const form = new FormData();
  form.append("name", name);
  form.append("consent", "confirmed on the page"); // the form requires it before the upload
  if (face) form.append("face", String(face));
  const kind = file.type.startsWith("video/") ? "video" : "photo";
  if (personalize && kind === "video") form.append("personalize", "true");
  form.append(kind, file);
  onProgress(0, `Uploading the ${kind}…`);
  const job = await (await request("/api/presenters", { method: "POST", body: form })).json();
  const done = await followJob(job, onProgress);
  return { name: done.presenter, warnings: done.warnings };
}
