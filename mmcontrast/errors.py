"""The one family of errors that the command line prints as a sentence instead of a traceback."""


class InputError(ValueError):
    """An input that cannot be used; the message says what was given, what was wanted and what to do."""


def summarize(error: BaseException, limit: int = 200) -> str:
    """Returns the first line of an error's message, cut to ``limit`` characters, for use in another message.

    If that line ends in a colon, the next one is added.

    >>> summarize(RuntimeError("The weights do not fit:\\n  fc.bias is missing.\\n  Traceback ..."))
    'The weights do not fit: fc.bias is missing'
    >>> summarize(KeyError())
    'KeyError'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    count = 2 if lines and lines[0].endswith(":") else 1
    line = " ".join(lines[:count]).rstrip(" .:") or type(error).__name__
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
