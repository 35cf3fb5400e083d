"""The live path without a network in front of it: networks, renderer, session, identities, offline rendering.

Holds what turns audio chunks into matched sound and pictures for one identity, in a server, a meeting or a program.
Never holds HTTP, WebRTC, terminals, sound devices or training.
"""
