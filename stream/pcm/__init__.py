"""Processing of PCM audio: formats, chunking, resampling, clock drift, voice activity, noise gate.

Never holds devices, sockets or files.
"""
