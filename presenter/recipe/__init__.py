"""The training recipe: data preparation, training steps, evaluation, building the shipped presenters.

Needs the extra `[train]`. Never holds what a live session needs: the application does not import it, apart from the
commands that run it.
"""
