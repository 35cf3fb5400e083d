"""Real-time media: chunks, clock, playout, WebRTC and files. No neural nets, no torch."""
