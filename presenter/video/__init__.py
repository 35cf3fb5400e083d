"""Lip-sync of an existing video: its face tracked, its lower face rendered for another recording.

Holds the two passes over a video, the choice of reference frames and the blend into its frames. Never holds networks,
codecs or HTTP.
"""
