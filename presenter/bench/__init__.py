"""Benchmarks: the live path, a voice bot's path, a meeting's path, each with its measuring instruments.

The application never imports it, apart from the command that runs it.
"""
