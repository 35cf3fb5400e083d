"""Training loops and data sets."""
