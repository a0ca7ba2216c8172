"""How the pixels of a drawn mask become object ids: smoothed edges, transparency and void."""

import cv2
import numpy as np
import numpy.typing as npt

from mmcontrast.errors import InputError

Ids = npt.NDArray[np.uint8]  # (H, W)
Values = npt.NDArray[np.int64]  # (H, W) gray values, palette indices or colors as 0xRRGGBB

MAX_OBJECTS = 254
_SMALL_IDS = 64  # beside ids up to this one, 255 is void
_MAX_PAINTED = 16  # opaque colors that are objects of their own; more belong to a cut-out photograph
_SOLID = 0.1  # fraction of a color's pixels that lie among their like; a smoothed edge has none
_LINE_TOLERANCE = 24.0  # how far a mixture may lie from the line between its two colors, of 255
_MAX_PAIRS_OF = 64  # solid colors whose mixtures are searched
_REACH = np.ones((11, 11), np.uint8)  # where a pixel of an edge looks for its object


def gray_ids(values: Values, name: str) -> tuple[Ids, str | None]:
    """Returns the ids of a gray mask and the rule that was applied, None where the values are the ids.

    Args:
        values: The gray values.
        name: What an error calls the file.

    Raises:
        InputError: There are too many objects or a value is no id.
    """
    levels = np.unique(values)
    top = int(levels[-1])
    if set(levels.tolist()) <= {0, 65535} or (top > 255 and levels[0] >= 0 and top == 65535):
        values = (values + 128) // 257
        levels, top = np.unique(values), 255
    if set(levels.tolist()) <= {0, 255}:
        return (values > 0).astype(np.uint8), None
    ids = levels[(levels > 0) & (levels != 255)]
    if levels[0] >= 0 and top <= 255 and ids[-1] > _SMALL_IDS:
        solid, mixed = _solid_and_mixed(values)
        if solid[:1].tolist() == [0] and _is_matte(values, solid, mixed):
            return (2 * values >= top).astype(np.uint8), "a gray mask with smoothed edges is one object, cut at half"
        if len(levels) > _SMALL_IDS and np.isin(values, solid).mean() < 0.5:
            raise InputError(
                f"{name}: has {len(levels)} grays without flat areas, as a photograph has; at most {MAX_OBJECTS} "
                "objects are possible, each of its own gray"
            )
        if mixed.size:
            return _without_edges(values, solid, mixed).astype(np.uint8), "smoothed edges went to the nearest gray"
    return indexed_ids(values, name)


def indexed_ids(values: Values, name: str) -> tuple[Ids, str | None]:
    """Returns values that are ids themselves, with 255 as void beside small ids, and the rule that was applied.

    Args:
        values: The ids.
        name: What an error calls the file.

    Raises:
        InputError: There are more than 254 objects, or an id is not from 0 to 255.
    """
    levels = np.unique(values)
    others = levels[(levels != 0) & (levels != 255)]
    rule = None
    if others.size and levels[-1] == 255 and others[-1] <= _SMALL_IDS:
        values = np.where(values == 255, 0, values)
        rule = "255 beside small ids is void, which is not tracked"
    check_count(int(np.count_nonzero(levels)) - (rule is not None), name)
    if levels[0] < 0 or levels[-1] > 255:
        raise InputError(f"{name}: has ids from {levels[0]} to {levels[-1]}; wanted 0 for the background and 1 to 255")
    return values.astype(np.uint8), rule


def color_ids(codes: Values, name: str) -> tuple[Ids, str | None]:
    """Returns the ids of a color mask in ascending order of RGB, and the rule that was applied.

    Black is the background. Where nothing is black, the color of all four corners is.

    Args:
        codes: Colors as 0xRRGGBB.
        name: What an error calls the file.

    Raises:
        InputError: There are too many objects.
    """
    colors, rules = np.unique(codes), []
    if all(color >> 16 == color & 255 == color >> 8 & 255 for color in colors[:256].tolist()) and len(colors) <= 256:
        return gray_ids(codes & 255, name)
    solid, mixed = _solid_and_mixed(codes)
    if mixed.size and np.isin(codes, mixed).mean() <= 0.25:
        codes = _without_edges(codes, solid, mixed)
        rules.append("smoothed edges went to the nearest color")
    corners = {int(codes[y, x]) for y in (0, -1) for x in (0, -1)}
    background = 0
    if not (codes == 0).any() and len(corners) == 1:
        background = corners.pop()
        rules.append(f"nothing is black, so the color of the corners, #{background:06x}, is the background")
    colors = np.setdiff1d(codes, [background])
    check_count(len(colors), name)
    ids = np.where(codes == background, 0, np.searchsorted(colors, codes) + 1)
    return ids.astype(np.uint8), "; ".join(rules) or None


def alpha_ids(codes: Values, alpha: Ids, name: str) -> tuple[Ids, str | None]:
    """Returns the ids of a mask with transparency, and the rule that was applied.

    Pixels that are at least half opaque are objects: one for each of at most 16 flat colors, else one in all.

    Args:
        codes: Colors as 0xRRGGBB.
        alpha: Opacity from 0 to 255.
        name: What an error calls the file.
    """
    opaque = alpha >= 128
    solid, _ = _solid_and_mixed(np.where(opaque, codes, -1))
    solid = np.setdiff1d(solid, [-1])
    flat = np.isin(codes, solid) & opaque
    if not 1 < len(solid) <= _MAX_PAINTED or flat.sum() < 0.9 * opaque.sum():
        return opaque.astype(np.uint8), "the opaque pixels are one object"
    codes = np.where(opaque, codes, -1)
    edge = np.setdiff1d(codes, np.append(solid, -1))
    codes = np.where(opaque, _without_edges(codes, solid, edge) if edge.size else codes, -1)
    ids = np.where(opaque, np.searchsorted(solid, codes) + 1, 0)
    return ids.astype(np.uint8), f"the opaque pixels are {len(solid)} objects, one for each of their flat colors"


def palette_ids(indices: Values, colors: npt.NDArray[np.uint8], name: str) -> tuple[Ids, str | None]:
    """Returns the ids of a palette mask and the rule that was applied.

    The indices are the ids, unless the colors show smoothed edges or a background that has another index than 0.

    Args:
        indices: The palette indices.
        colors: (256, 3) the palette.
        name: What an error calls the file.
    """
    used = np.unique(indices)
    packed = colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    named = used[used != 255] if len(used) > 1 else used
    if len(np.unique(packed[named])) < len(named):  # the colors do not tell the indices apart
        return indexed_ids(indices, name)
    codes = packed[indices]
    drawn = len(named) > 1 and packed[0] != 0 and (codes == 0).any()
    if drawn or (len(used) > 2 and not _is_void_only(used) and _solid_and_mixed(codes)[1].size):
        ids, rule = color_ids(codes, name)
        return ids, rule or "the colors of the palette are objects and black is the background"
    if set(used.tolist()) == {0, 255}:
        return (indices > 0).astype(np.uint8), None
    return indexed_ids(indices, name)


def check_count(objects: int, name: str) -> None:
    """Refuses more than 254 objects.

    Args:
        objects: Number of objects.
        name: What the error calls the file.

    Raises:
        InputError: There are more.
    """
    if objects > MAX_OBJECTS:
        raise InputError(
            f"{name}: has {objects} different ids; at most {MAX_OBJECTS} objects are possible. "
            "Wanted a PNG whose pixels are object ids (JPEG blurs them)"
        )


def _is_void_only(used: Values) -> bool:
    return len(used) == 3 and used[-1] == 255 and used[1] <= _SMALL_IDS


def _is_matte(values: Values, solid: Values, mixed: Values) -> bool:
    """Returns whether gray values are one object and its edge: one flat gray at most, and many or mixed grays."""
    edge = ~np.isin(values, solid)
    if edge.mean() > 0.5:
        return False
    return (len(solid) == 2 and mixed.size > 0) or (len(solid) == 1 and len(np.unique(values)) > 16)


def _solid_and_mixed(values: Values) -> tuple[Values, Values]:
    """Returns the values that fill areas, and those without an area that are mixtures of two of them."""
    levels, counts = np.unique(values, return_counts=True)
    same = np.ones(values.shape, np.bool_)
    same[[0, -1]] = same[:, [0, -1]] = False
    for axis in (0, 1):
        equal = np.diff(values, axis=axis) == 0
        for part in ((slice(1, None), slice(None, -1))[i] for i in (0, 1)):
            index = (part, slice(None)) if axis == 0 else (slice(None), part)
            same[index] &= equal
    inside, inside_counts = np.unique(values[same], return_counts=True)
    area = np.zeros(len(levels), np.int64)
    area[np.searchsorted(levels, inside)] = inside_counts
    is_solid = area >= np.maximum(_SOLID * counts, 1)
    solid, rest = levels[is_solid], levels[~is_solid]
    if not 2 <= len(solid) <= _MAX_PAIRS_OF or not rest.size:
        return solid, rest[:0]
    ends, points = _rgb(solid), _rgb(rest)
    mixture = np.zeros(len(rest), np.bool_)
    for i in range(len(ends)):
        for j in range(i):
            line = ends[j] - ends[i]
            along = np.clip((points - ends[i]) @ line / max(line @ line, 1.0), 0, 1)
            away = np.linalg.norm(points - ends[i] - along[:, None] * line, axis=1)
            mixture |= (away <= _LINE_TOLERANCE) & (along > 0) & (along < 1)
    return solid, rest[mixture]


def _without_edges(values: Values, solid: Values, mixed: Values) -> Values:
    """Returns the values with each mixture replaced by the nearest in color of the solid values close to it."""
    rows, columns = np.nonzero(np.isin(values, mixed))
    colors = _rgb(values[rows, columns])
    best, nearest = np.full(len(rows), np.inf), np.zeros(len(rows), np.int64)
    for value in solid.tolist():
        near = cv2.dilate((values == value).astype(np.uint8), _REACH)[rows, columns] > 0
        distance = np.linalg.norm(colors - _rgb(np.array([value])), axis=1) + np.where(near, 0.0, 1e4)
        closer = distance < best
        best, nearest = np.where(closer, distance, best), np.where(closer, value, nearest)
    result = values.copy()
    result[rows, columns] = nearest
    return result


def _rgb(codes: Values) -> npt.NDArray[np.float64]:
    """Returns (N, 3) channels; a gray value is a blue one, and -1 is far from every color."""
    channels = np.stack([codes >> 16 & 255, codes >> 8 & 255, codes & 255], -1).astype(np.float64)
    channels[codes < 0] = -1e4
    return channels
