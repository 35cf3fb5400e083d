"""Cameras: the virtual camera that a meeting sees, the canvas drawn for it, the webcam that is followed.

Never holds WebRTC or sound.
"""
