"""Benchmarks: the live path, a voice bot's path, a meeting's path, each with its measuring instruments.

Never holds what a live session needs: the application does not import it, apart from the command that runs it.
"""
