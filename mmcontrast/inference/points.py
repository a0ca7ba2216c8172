"""Points as people write them."""

from mmcontrast.errors import InputError


def parse_points(text: str, what: str) -> list[tuple[float, float]]:
    """ "x,y; x,y" -> pairs.

    Args:
        text: pairs of pixels.
        what: names the text in an error, such as "--points".
    Raises:
        InputError: anything else, or none.
    """
    try:
        pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split(";") if pair.strip()]
    except ValueError:
        pairs = []
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise InputError(f'{what} {text!r}: wanted pairs of pixels such as "120,80; 200,95"')
    return [(pair[0], pair[1]) for pair in pairs]
