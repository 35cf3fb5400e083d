"""Media files: decoded audio and video in, MP4 out.

Never holds real-time code.
"""
