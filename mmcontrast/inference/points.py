"""Points as people write them."""

from mmcontrast.errors import InputError


def parse_points(text: str, source: str) -> list[tuple[float, float]]:
    """Returns the points (x, y) of a text such as "120,80; 200,95".

    Args:
        text: Pairs of pixels.
        source: What to call the text in an error, such as "--points".

    Raises:
        InputError: The text is something else, or has no points.
    """
    try:
        pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split(";") if pair.strip()]
    except ValueError:
        pairs = []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f'{source} {text!r}: wanted pairs of pixels such as "120,80; 200,95"')
    return [(pair[0], pair[1]) for pair in pairs]
