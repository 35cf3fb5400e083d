"""`presenter camera`: a microphone in, a virtual camera and a delayed virtual microphone out, and its terminal.

Holds what joins devices to a session and shows its status. Never holds HTTP or WebRTC.
"""
