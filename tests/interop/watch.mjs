// A WHEP viewer on werift: connects, counts RTP packets and keyframes, and says so in JSON lines.
// Usage: node watch.mjs WHEP_URL [VP8|H264] [SECONDS]

import { RTCPeerConnection, RTCRtpCodecParameters, Vp8RtpPayload } from "werift";

const REPORT_MS = 200;
const LOSS_REPORT_MS = 1000; // a picture loss is reported this often: each has to bring a keyframe

const [url, name = "VP8", seconds = "5"] = process.argv.slice(2);

const feedback = [{ type: "nack" }, { type: "nack", parameter: "pli" }, { type: "goog-remb" }];
const video = new RTCRtpCodecParameters({
  mimeType: `video/${name}`,
  clockRate: 90000,
  rtcpFeedback: feedback,
  parameters:
    name === "H264" ? "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1" : undefined,
});
const audio = new RTCRtpCodecParameters({ mimeType: "audio/opus", clockRate: 48000, channels: 2 });

const pc = new RTCPeerConnection({
  iceServers: [],
  iceAdditionalHostAddresses: ["127.0.0.1"],
  codecs: { audio: [audio], video: [video] },
});
const seen = { audio: 0, video: 0, keyframes: 0, begins_with_keyframe: null, codec: null, state: "new" };
const report = () => console.log(JSON.stringify(seen));

function isKeyframe(payload) {
  if (name === "VP8") {
    const vp8 = Vp8RtpPayload.deSerialize(payload);
    return Boolean(vp8.isPartitionHead && vp8.isKeyframe);
  }
  const aggregated = (payload[0] & 0x1f) === 24; // STAP-A, RFC 6184
  return (payload[aggregated ? 3 : 0] & 0x1f) === 7; // parameter sets
}

function watch(kind) {
  const transceiver = pc.addTransceiver(kind, { direction: "recvonly" });
  transceiver.onTrack.subscribe((track) => {
    track.onReceiveRtp.subscribe((rtp) => {
      seen[kind] += 1;
      if (kind !== "video") return;
      const key = isKeyframe(rtp.payload);
      seen.keyframes += key ? 1 : 0;
      seen.begins_with_keyframe ??= key;
      seen.codec ??= track.codec?.mimeType ?? null;
    });
    if (kind === "video") {
      setInterval(() => transceiver.receiver.sendRtcpPLI(track.ssrc), LOSS_REPORT_MS);
    }
  });
}

pc.connectionStateChange.subscribe((state) => {
  seen.state = state;
  report();
});
watch("audio");
watch("video");
await pc.setLocalDescription(await pc.createOffer());
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
await pc.setRemoteDescription({ type: "answer", sdp: await response.text() });
setInterval(report, REPORT_MS);
setTimeout(async () => {
  report();
  await fetch(resource, { method: "DELETE" });
  await pc.close();
  process.exit(0);
}, 1000 * Number(seconds));
