"""Turns live speech into a live, lip-synced face: the application around `models` and `stream`.

`cli` and `commands` dispatch; `config`, `errors` and `doctor` serve every room; everything else lives in a room whose
docstring says what it holds. Never holds mathematics of the networks or protocol parsing.
"""
