"""Cameras: the virtual camera, and the webcam whose user is tracked.

Never holds WebRTC or sound.
"""
