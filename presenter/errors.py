"""Errors that users see; each says what was expected and what was found."""


class PresenterError(Exception):
    """Base of all errors that are the caller's to fix."""


class ConfigError(PresenterError):
    """A configuration file or option is wrong."""


class IdentityNotFoundError(PresenterError):
    """No presenter has this name."""


class IdentityDamagedError(PresenterError):
    """A stored presenter can't be read; says what is damaged and what to do."""


class EnrollError(PresenterError):
    """A photo can't become a presenter."""


class CapacityError(PresenterError):
    """Every slot for a live stream is in use."""


class MediaError(PresenterError):
    """A media file can't be read, or holds not what is needed."""


class VoiceMissingError(PresenterError):
    """The voice built in can't be loaded: packages of the extra `[voice]` are missing or broken."""
