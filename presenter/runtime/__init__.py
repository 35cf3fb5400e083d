"""The live path without network transport: neural networks, renderer, session, identities, offline rendering.

Holds what turns audio chunks into matched audio and frames for one identity, in a server, a meeting or a program.
Never holds HTTP, WebRTC, terminals, sound devices or training.
"""
