"""The protocols of the voice services that the speech socket understands, one module each.

A bot relays the messages of its voice service as they are; `open_codec` picks who reads them.
"""
