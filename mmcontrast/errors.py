"""The one family of errors that the command line prints as a sentence instead of a traceback."""


class InputError(ValueError):
    """An input that cannot be used; the message says what was given, what was wanted and what to do."""


def summarize(error: BaseException, limit: int = 200) -> str:
    """Returns the first line of an error's message, cut to ``limit`` characters, for use in another message.

    >>> summarize(RuntimeError("Error(s) in loading state_dict for ResNet:\\n  Missing key(s): ..."))
    'Error(s) in loading state_dict for ResNet'
    >>> summarize(KeyError())
    'KeyError'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0].rstrip(" .:") if lines else type(error).__name__
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
