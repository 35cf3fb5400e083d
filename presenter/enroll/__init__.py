"""Enrolment: from a photo to an identity on disk.

Holds what needs the face tracker and the matting network. Never holds HTTP, and nothing of a live session.
"""
