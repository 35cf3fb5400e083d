"""Turns live speech into a live, lip-synced face."""
