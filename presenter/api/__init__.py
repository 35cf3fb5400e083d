"""The verbs of the command line as functions; the command line itself calls them.

    from presenter import api

    api.enroll("ada.jpg", "Ada", consent_by="Ada L.")
    api.render("speech.wav", "ada.mp4", presenter="Ada")
    api.render("speech.wav", "dubbed.mp4", video="talk.mp4")

Each function blocks until its work is done; heavy packages are imported by the first call. Never holds what the work
needs, only how it is asked for.
"""

from presenter.api.enrolment import Personalised, enroll, make_style, personalise, presenters
from presenter.api.rendering import Rendered, render
from presenter.api.speech import Spoken, say

__all__ = ["Personalised", "Rendered", "Spoken", "enroll", "make_style", "personalise", "presenters", "render", "say"]
