"""`presenter camera`: microphone input, virtual camera and delayed virtual microphone, and the terminal interface.

Holds what connects devices to a session and shows its status. Never holds HTTP or WebRTC.
"""
