"""Text to speech: the local voice, its phonemes and word times, and speaking a text in a session or to a file.

Never holds devices or HTTP.
"""
