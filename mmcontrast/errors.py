"""The one family of errors that the command line turns into a sentence instead of a traceback."""


class InputError(ValueError):
    """Something the user gave cannot be used.  The message says what was given, what was wanted and what to do."""
