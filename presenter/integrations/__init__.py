"""Adapters for agent frameworks; each module needs the optional extra of the same name.

Holds what translates between a framework and `presenter.runtime`. Never holds HTTP or rendering.
"""
