"""What each verb of the command line does: live commands, commands on files, and keeping presenters.

Imports of rooms are local to the functions, so that `--help` is instant. Never holds more than reading arguments,
calling a room and printing what it returns.
"""
