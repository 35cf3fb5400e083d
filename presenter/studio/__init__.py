"""Offline studio that renders the shipped presenters with Blender: ``python -m presenter.studio.render``.

``character`` says who they are, as data. ``geometry`` (the head) and ``shapes`` (expressions) are plain numpy;
``masks`` draws the maps of the skin; ``materials``, ``face``, ``brows``, ``hair`` and ``clothes`` build Blender objects
through ``nodes``; ``scene`` puts them before a camera; ``render`` is the command.
Blender (``bpy``) is GPL: nothing outside this package imports it. Never holds anything that the application needs.
"""
