"""A WHEP viewer on GStreamer's webrtcbin: connects, counts buffers and says so in JSON lines.

Runs in Debian's Python, where GStreamer's bindings are.
Usage: python3 watch_gstreamer.py WHEP_URL [VP8|H264] [SECONDS]
"""

import json
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

REPORT_MS = 200
# No profile-level-id and no packetization-mode: RFC 6184 says what is meant then.
VIDEO = "application/x-rtp,media=video,encoding-name={},payload=97,clock-rate=90000"
AUDIO = "application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000,encoding-params=(string)2"


class Viewer:
    """One pipeline: webrtcbin, and for each stream a depayloader whose output is counted."""

    def __init__(self, url: str, codec: str) -> None:
        self.url = url
        self.codec = codec
        self.seen = {
            "audio": 0,
            "video": 0,
            "keyframes": 0,
            "largest": 0,
            "state": "new",
            "version": Gst.version_string(),
        }
        self.resource = None
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.Pipeline.new()
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.pipeline.add(self.webrtc)
        self.webrtc.connect("pad-added", self.receive)
        self.webrtc.connect("notify::connection-state", self.note_state)
        self.webrtc.connect("notify::ice-gathering-state", self.offer_when_gathered)
        self.pipeline.set_state(Gst.State.PLAYING)
        for caps in (AUDIO, VIDEO.format(codec)):
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self.webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
        self.webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.take_offer))

    def take_offer(self, promise: Gst.Promise) -> None:
        reply = promise.get_reply()  # owns the offer
        offer = reply.get_value("offer")
        self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

    def offer_when_gathered(self, webrtc: Gst.Element, _: object) -> None:
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.exchange)

    def exchange(self) -> bool:
        self.seen["offer"] = offer = self.webrtc.get_property("local-description").sdp.as_text()
        headers = {"Content-Type": "application/sdp"}
        request = urllib.request.Request(self.url, offer.encode(), headers)  # noqa: S310  the test's own server
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            self.resource = urllib.request.urljoin(self.url, response.headers["Location"])
            _, sdp = GstSdp.SDPMessage.new_from_text(response.read().decode())
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.webrtc.emit("set-remote-description", answer, Gst.Promise.new())
        return False

    def note_state(self, webrtc: Gst.Element, _: object) -> None:
        self.seen["state"] = webrtc.get_property("connection-state").value_nick

    def receive(self, _: Gst.Element, pad: Gst.Pad) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        depayload = "rtpopusdepay" if kind == "audio" else f"rtp{self.codec.lower()}depay"
        bin_ = Gst.parse_bin_from_description(f"queue ! {depayload} ! fakesink name=end sync=false", True)
        self.pipeline.add(bin_)
        pad.add_probe(Gst.PadProbeType.BUFFER, self.measure)
        bin_.get_by_name("end").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self.count, kind)
        bin_.sync_state_with_parent()
        pad.link(bin_.get_static_pad("sink"))

    def measure(self, _: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        self.seen["largest"] = max(self.seen["largest"], info.get_buffer().get_size())
        return Gst.PadProbeReturn.OK

    def count(self, _: Gst.Pad, info: Gst.PadProbeInfo, kind: str) -> Gst.PadProbeReturn:
        self.seen[kind] += 1
        if kind == "video" and not info.get_buffer().has_flags(Gst.BufferFlags.DELTA_UNIT):
            self.seen["keyframes"] += 1
        return Gst.PadProbeReturn.OK

    def report(self) -> bool:
        print(json.dumps(self.seen), flush=True)
        return True

    def leave(self) -> bool:
        self.report()
        if self.resource is not None:
            request = urllib.request.Request(self.resource, method="DELETE")  # noqa: S310
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        self.pipeline.set_state(Gst.State.NULL)
        self.loop.quit()
        return False


def main(url: str, codec: str = "VP8", seconds: str = "5") -> None:
    """Watch for so many seconds."""
    Gst.init(None)
    viewer = Viewer(url, codec)
    GLib.timeout_add(REPORT_MS, viewer.report)
    GLib.timeout_add(int(1000 * float(seconds)), viewer.leave)
    viewer.loop.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
