"""The HTTP server: routes, middleware, request parsing, sessions with their connections, enrolment jobs.

Holds everything that knows HTTP or a peer connection. Never holds rendering, media formats or dialects.
"""
