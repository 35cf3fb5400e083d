"""Presenters for other people's bots; each module needs the optional extra of the same name."""
