"""WebRTC by aiortc: peers, tracks, shared encoders, WHIP, and every workaround for aiortc.

Never holds HTTP routes; nothing outside this package imports aiortc.
"""
