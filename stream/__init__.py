"""Real-time media: PCM, clock, playout, WebRTC, devices, cameras, files and the speech protocol.

Holds what moves audio and video in time. `media`, `clock` and `wire` hold the types that its packages share.
Never holds neural networks or torch.
"""
