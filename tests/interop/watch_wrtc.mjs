// A WHEP viewer on libwebrtc, as @roamhq/wrtc packs it for Node: connects, counts what it decodes, and says so in JSON lines.
// Usage: node watch_wrtc.mjs WHEP_URL [VP8|H264] [SECONDS]

import wrtc from "@roamhq/wrtc";

const { RTCPeerConnection, nonstandard } = wrtc;
const REPORT_MS = 200;
const [url, name = "VP8", seconds = "5"] = process.argv.slice(2);

const pc = new RTCPeerConnection();
const seen = { audio: 0, video: 0, width: 0, codec: null, state: "new" };
const report = () => console.log(JSON.stringify(seen));
const sinks = [];

pc.ontrack = ({ track }) => {
  if (track.kind === "audio") {
    const sink = new nonstandard.RTCAudioSink(track);
    sink.ondata = () => (seen.audio += 1);
    sinks.push(sink);
  } else {
    const sink = new nonstandard.RTCVideoSink(track);
    sink.onframe = ({ frame }) => {
      seen.video += 1;
      seen.width = frame.width;
    };
    sinks.push(sink);
  }
};
pc.onconnectionstatechange = () => {
  seen.state = pc.connectionState;
  report();
};
pc.addTransceiver("audio", { direction: "recvonly" });
pc.addTransceiver("video", { direction: "recvonly" });
await pc.setLocalDescription(await pc.createOffer());
await new Promise((resolve) => {
  if (pc.iceGatheringState === "complete") resolve();
  pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
});
const response = await fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/sdp" },
  body: pc.localDescription.sdp,
});
if (response.status !== 201) {
  console.error(`expected status 201, got ${response.status}: ${await response.text()}`);
  process.exit(1);
}
const resource = new URL(response.headers.get("location"), url);
const answer = await response.text();
seen.codec = new RegExp(`a=rtpmap:\\d+ ${name}/90000`).test(answer) ? name : null;
await pc.setRemoteDescription({ type: "answer", sdp: answer });
setInterval(report, REPORT_MS);
setTimeout(async () => {
  report();
  sinks.forEach((sink) => sink.stop());
  await fetch(resource, { method: "DELETE" });
  pc.close();
  process.exit(0);
}, 1000 * Number(seconds));
