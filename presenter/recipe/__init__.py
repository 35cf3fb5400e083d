"""The training recipe: data preparation, training steps, evaluation, building the shipped presenter.

Needs the extra `[train]`. The application never imports it, apart from the commands that run it.
"""
