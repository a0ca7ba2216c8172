"""How a training run ends badly: with a sentence, exit status 1 and the last good checkpoint in place."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why, where, and what to try."""
