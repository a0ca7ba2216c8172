"""Matches of points, as images: points of a reference, their matches, and maps of similarity."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

_COLORS = [(230, 60, 60), (60, 180, 75), (255, 200, 25), (70, 120, 230), (245, 130, 48), (190, 70, 220), (70, 230, 230)]
_WHITE = (255, 255, 255)
_GAP = 6  # pixels between panels

ImageArray = npt.NDArray[np.uint8]
Points = Sequence[tuple[float, float]]


def draw_matches(
    reference: ImageArray, points: Points, image: ImageArray, matched: Points, similarity: npt.NDArray[np.float32]
) -> ImageArray:
    """Draws the reference, the other image, and the map of similarity side by side.

    Args:
        reference: (H, W, 3) uint8.
        points: Q points (x, y) of the reference.
        image: (H', W', 3) uint8.
        matched: The matches of the points in the image.
        similarity: (H', W') in [0, 1].

    Returns:
        (max(H, H'), about W + 2 W', 3) uint8.
    """
    panels = [
        draw_points(reference, points),
        draw_points(image, matched),
        draw_points(draw_heat(image, similarity), matched),
    ]
    height = max(panel.shape[0] for panel in panels)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    padded = [
        cv2.copyMakeBorder(panel, 0, height - panel.shape[0], 0, 0, cv2.BORDER_CONSTANT, value=_WHITE)
        for panel in panels
    ]
    return np.hstack([padded[0], gap, padded[1], gap, padded[2]]).astype(np.uint8, copy=False)


def draw_heat(image: ImageArray, heat: npt.NDArray[np.float32]) -> ImageArray:
    """Blends a heat map into an image; higher values are warmer and more opaque.

    Args:
        image: (H, W, 3) uint8.
        heat: (H, W) in [0, 1].

    Returns:
        (H, W, 3) uint8.
    """
    level = (heat * 255).astype(np.uint8)
    colored = np.asarray(cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1], np.float32)
    opacity = (0.25 + 0.55 * heat[..., None]).astype(np.float32)
    blended: ImageArray = (image + opacity * (colored - image)).astype(np.uint8)
    return blended


def draw_pairs(
    reference: ImageArray, image: ImageArray, points: np.ndarray, matched: np.ndarray
) -> tuple[ImageArray, ImageArray]:
    """Draws matches as dots of one color in both images; the color is the direction from the center of the points.

    Args:
        reference: (H, W, 3) uint8.
        image: (H', W', 3) uint8.
        points: Pixels (P, 2) of the reference.
        matched: Pixels (P, 2) of the other image.

    Returns:
        Both images with dots.
    """
    if not len(points):
        return reference.copy(), image.copy()
    x, y = (points - points.mean(0)).T
    hue = np.rint((np.arctan2(y, x) / np.pi + 1) * 89).astype(np.uint8)  # (P,)
    full = np.full_like(hue, 255)
    colors = cv2.cvtColor(np.stack([hue, full, full], -1)[None], cv2.COLOR_HSV2RGB)[0]
    return _draw_dots(reference, points, colors), _draw_dots(image, matched, colors)


def _draw_dots(image: ImageArray, points: np.ndarray, colors: np.ndarray) -> ImageArray:
    """Draws a dot of its color (P, 3) with a white rim at each pixel (P, 2)."""
    drawn = image.copy()
    radius = max(3, min(image.shape[:2]) // 90)
    for (x, y), color in zip(points, colors, strict=True):
        center = round(float(x)), round(float(y))
        cv2.circle(drawn, center, radius + 1, _WHITE, -1, cv2.LINE_AA)
        cv2.circle(drawn, center, radius, tuple(int(c) for c in color), -1, cv2.LINE_AA)
    return drawn


def draw_points(image: ImageArray, points: Points) -> ImageArray:
    """Draws a numbered ring of its own color around each point.

    Args:
        image: (H, W, 3) uint8.
        points: Points (x, y) in pixels.

    Returns:
        (H, W, 3) uint8.
    """
    drawn = image.copy()
    radius = max(4, min(image.shape[:2]) // 40)
    for number, (x, y) in enumerate(points):
        center, color = (round(x), round(y)), _COLORS[number % len(_COLORS)]
        for ring, width in ((_WHITE, 4), (color, 2)):
            cv2.circle(drawn, center, radius, ring, width, cv2.LINE_AA)
        cv2.circle(drawn, center, 1, color, -1, cv2.LINE_AA)
        if len(points) > 1:
            corner = (center[0] + radius + 2, center[1] - radius + 4)
            for text_color, width in ((_WHITE, 4), (color, 2)):
                font = cv2.FONT_HERSHEY_SIMPLEX
                cv2.putText(drawn, str(number + 1), corner, font, 0.6, text_color, width, cv2.LINE_AA)
    return drawn
