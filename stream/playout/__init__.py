"""From queued speech and matched pairs to ticks of a clock: speech queue, playout queue, progress, jitter target.

Sans-I/O rules and the pump that applies them. Never holds codecs, sockets or devices.
"""
