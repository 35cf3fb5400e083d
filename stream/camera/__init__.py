"""Cameras: the virtual camera, the canvas composed for it, the webcam whose user is tracked.

Never holds WebRTC or sound.
"""
