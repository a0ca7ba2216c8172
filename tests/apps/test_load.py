from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from mmcontrast.apps.media import PHOTOGRAPHS

from mmcontrast.data.io.decode import decode
from mmcontrast.predict.zero_shot import ZeroShotClassifier

pytestmark = pytest.mark.slow
USERS, REQUESTS = 32, 200
LABELS = ["big cat", "lion", "tower", "pagoda", "flower"]


@pytest.fixture(scope="module")
def crops(tmp_path_factory) -> tuple[list[bytes], np.ndarray]:
    """One image for each user, and the right answers."""
    import cv2

    images = []
    for user in range(USERS):
        photograph = decode(PHOTOGRAPHS[user % len(PHOTOGRAPHS)])
        height, width = photograph.shape[:2]
        top, left = (user * height) // (3 * USERS), (user * width) // (2 * USERS)
        crop = photograph[top : top + height // 2, left : left + width // 2, ::-1]
        images.append(cv2.imencode(".png", crop)[1].tobytes())
    return images, ZeroShotClassifier("clip-lite", LABELS, templates=["a photo of a {}."]).probabilities(images).numpy()


def test_everyone_gets_the_answer_to_their_own_image(server, crops):
    images, right = crops
    before = None

    def ask(number: int) -> float:
        upload = server.upload(images[number % USERS], f"user{number % USERS}.png")
        found = server.call("classify", upload, "\n".join(LABELS), "a photo of a {}.", "clip-lite")[0]
        given = {row["label"]: row["confidence"] for row in found["confidences"]}
        return float(np.abs([given[label] for label in LABELS] - right[number % USERS]).max())

    with ThreadPoolExecutor(USERS) as users:
        assert max(users.map(ask, range(REQUESTS))) < 1e-3  # the allocator's pools have their size only then
        before = server.memory()
        assert max(users.map(ask, range(REQUESTS))) < 1e-3
    assert server.memory() - before < 100 << 20


def test_too_many_are_refused_at_once_and_the_rest_answered(server):
    image = server.upload(PHOTOGRAPHS[0])
    ask = lambda _: server.ask("look", image, "activations", "clip-lite", 0.5, 0)
    with ThreadPoolExecutor(USERS) as users:
        answers = list(users.map(ask, range(120)))
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["detail"].startswith("Too many requests are waiting")
    assert refused.elapsed.total_seconds() < 5
