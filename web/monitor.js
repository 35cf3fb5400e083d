// Reads and shows the live figures of a call until it ends.

import { Median } from "./stats.js";
import * as ui from "./ui.js";

const READ_INTERVAL_MS = 250;
const SILENT_AFTER_MS = 8000;

/**
 * Show a call's figures during its session; warn once when the microphone stays silent.
 *
 * @param {{session: import("./session.js").Session, figures: import("./stats.js").Figures, spoken: boolean}} call
 * @param {{muted: () => boolean}} microphone
 */
export async function showFigures({ session, figures, spoken }, microphone) {
  const medians = { latencyMs: new Median(9), skewMs: new Median(9), fps: new Median(3), roundTripMs: new Median(5) };
  let heardMs = performance.now();
  while (!session.closed) {
    const now = await figures.read();
    if (session.closed) return;
    if (!spoken) now.latencyMs = null; // it is measured from the microphone
    ui.showFigures(Object.fromEntries(Object.entries(medians).map(([key, median]) => [key, median.push(now[key])])));
    ui.showQuality(figures.server?.quality);
    ui.setLevels(now.microphoneLevel ?? 0, now.voiceLevel ?? 0);
    if (now.microphoneLevel !== 0 || microphone.muted()) heardMs = performance.now();
    if (performance.now() - heardMs > SILENT_AFTER_MS) {
      heardMs = Infinity;
      ui.showNotice("Nothing to hear", "The microphone gives no sound. Is it switched off, or is another one chosen?", { soft: true });
    }
    await new Promise((resolve) => setTimeout(resolve, READ_INTERVAL_MS));
  }
}
