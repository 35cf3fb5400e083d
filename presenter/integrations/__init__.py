"""Adapters for bot frameworks; each module needs the optional extra of the same name."""
