import csv
import gc
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mmcontrast.apps import look_inside, track, zero_shot
from mmcontrast.apps.media import PAIRS, PHOTOGRAPHS, VIDEOS
from PIL import Image

from mmcontrast.cli.main import main
from mmcontrast.data.io.decode import decode
from mmcontrast.data.io.video_file import VideoFile

ROOT = Path(__file__).parents[2]
PAINT, CLICK, COLOR = track.KINDS
SENTENCES = "a photo of a {}."


def image_of(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.array(opened)


def test_every_app_has_named_endpoints_and_nothing_else_is_public(server):
    named = server.http.get("gradio_api/info").json()["named_endpoints"]
    assert set(named) == {
        "/classify", "/classify_all", "/match", "/mutual_matches", "/descriptor_colors", "/track", "/look",
    }  # fmt: skip


def test_example_media_are_there():
    assert len(PHOTOGRAPHS) >= 3
    assert all(Path(file).is_file() for file in (*PAIRS[0], *VIDEOS))


@pytest.mark.parametrize("port", ["99999", "0", "-1", "http"])
def test_a_port_that_is_none_is_refused(port, capsys):
    assert main(["app", "--port", port]) == 2
    assert "--port" in capsys.readouterr().err


def test_classify(server):
    found = server.call("classify", server.upload(PHOTOGRAPHS[0]), zero_shot.LABELS, SENTENCES, "clip-lite")[0]
    assert found["label"] == "big cat"
    assert sum(row["confidence"] for row in found["confidences"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.filterwarnings("ignore")  # the client leaves sockets open
def test_gradios_own_client_classifies(server):
    from gradio_client import Client, handle_file

    client = Client(server.address, verbose=False)
    found = client.predict(
        handle_file(PHOTOGRAPHS[-1]), "a dog\na flower", SENTENCES, "clip-lite", api_name="/classify"
    )
    assert found["label"] == "a flower"
    client.close()
    del client
    gc.collect()


def test_several_images_make_a_table(server):
    files = [server.upload(PHOTOGRAPHS[0]), server.upload(b"no image", "broken.png")]
    table, file, unread = server.call("classify_all", files, "big cat\nflower", SENTENCES, "clip-lite")
    assert [row[0] for row in table["data"]] == ["cheetah1.jpg"]
    assert unread == "Not read: `broken.png`. The CSV says why."
    rows = list(csv.DictReader(io.StringIO(server.download(file).decode())))
    assert rows[0]["label"] == "big cat"
    assert float(rows[0]["big cat"]) + float(rows[0]["flower"]) == pytest.approx(1, abs=1e-5)
    assert rows[1]["label"] == ""
    assert "cannot be decoded" in rows[1]["error"]
    assert "/" not in rows[1]["error"]


def test_only_the_first_images_that_were_not_read_are_named():
    assert zero_shot._unread([]) == ""
    names = [f"{number}.png" for number in range(9)]
    assert zero_shot._unread(names) == "Not read: `0.png`, `1.png`, `2.png` + 6 more. The CSV says why."


def test_a_point_is_found_in_the_same_image(server):
    image = server.upload(PHOTOGRAPHS[0])
    left, right, text, table, note = server.call("match", image, image, "120,80; 60,100", "lab")
    assert note == ""
    for row in table["data"]:
        assert np.allclose(row[1:3], row[3:5], atol=1)
    assert text == "120,80; 60,100"
    assert (
        image_of(server.download(left)).shape == image_of(server.download(right)).shape == decode(PHOTOGRAPHS[0]).shape
    )


def test_coordinates_are_pixels_of_the_given_image(server, tmp_path):
    """A large image is reduced for the page; a point of its right half is inside, and equals the command's."""
    large = Image.open(PHOTOGRAPHS[0]).convert("RGB").resize((1600, 1200), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.png")
    image = server.upload(tmp_path / "large.png")
    *_, table, _ = server.call("match", image, image, "1500.3,1100; 40,60", "lab")
    for row, point in zip(table["data"], [(1500.3, 1100), (40, 60)], strict=True):
        assert np.allclose(row[1:3], point, atol=0.05)
        assert np.allclose(row[3:5], point, atol=4)  # the page compares every other pixel or so
    assert "has 1600 x 1200 pixels" in server.call("match", image, image, "1600,3", "lab")["error"]


def test_labels_are_split_as_on_the_command_line(server):
    image = server.upload(PHOTOGRAPHS[0])
    (answer,) = server.call("classify", image, "big cat, flower", SENTENCES, "clip-lite")
    assert {row["label"] for row in answer["confidences"]} == {"big cat", "flower"}
    assert zero_shot._labels("a cat, asleep\na dog") == ("a cat, asleep", "a dog")  # lines may hold commas


def test_the_example_pair_is_matched_right(server):
    pair = [server.upload(image) for image in PAIRS[0]]
    seen = {(312, 255): (317, 222), (378, 255): (360, 222), (330, 60): (324, 87), (325, 305): (321, 257)}  # by eye
    *_, table, note = server.call("match", *pair, "; ".join(f"{x},{y}" for x, y in seen), "don-lite")
    assert np.allclose([row[3:5] for row in table["data"]], list(seen.values()), atol=10)
    assert note == ""


def test_a_doubtful_match_is_said_to_be(server, tmp_path):
    """A dot looks like each of two."""
    images = []
    for dots in ([30], [15, 45]):
        pixels = np.full((40, 60, 3), 99, np.uint8)
        pixels[20, dots] = 255
        Image.fromarray(pixels).save(tmp_path / f"{len(dots)}.png")
        images.append(server.upload(tmp_path / f"{len(dots)}.png"))
    one, two = images
    sentence = "perhaps not visible in the right image."
    assert server.call("match", one, two, "30,20", "lab")[4] == f"Low confidence: {sentence}"
    assert server.call("match", one, two, "30,20; 31,20", "lab")[4] == f"Low confidence at 1, 2: {sentence}"


@pytest.mark.parametrize("endpoint", ["mutual_matches", "descriptor_colors"])
def test_the_whole_pair(server, endpoint):
    image = server.upload(PHOTOGRAPHS[0])
    left, right = server.call(endpoint, image, image, "lab")
    a, b = (image_of(server.download(drawn)).astype(int) for drawn in (left, right))
    assert np.abs(a - b).mean() < 1  # the same image twice: dots at the same places, patches of the same colors
    assert np.abs(a - decode(PHOTOGRAPHS[0])).mean() > 1


def test_a_painted_object_is_followed(server, disc, painting):
    path, masks = disc
    layer = server.upload(painting(masks[0]))
    editor = {"background": layer, "layers": [layer], "composite": None}
    video, file, status = server.call("track", server.upload(path), PAINT, editor, "", None, "lab", 96)
    with zipfile.ZipFile(io.BytesIO(server.download(file))) as archive:
        assert sorted(archive.namelist()) == [f"{number:05d}.png" for number in range(len(masks))]
        last = image_of(archive.read(f"{len(masks) - 1:05d}.png"))
    assert set(np.unique(last)) == {0, 1}
    assert (last & masks[-1]).sum() / (last | masks[-1]).sum() > 0.8
    assert f"{len(masks)} frames" in status
    assert len(VideoFile(video["path"])) == len(masks)


def test_points_are_followed(server, disc):
    path, masks = disc
    _, file, _ = server.call("track", server.upload(path), CLICK, None, "50,48", None, "lab", 96)
    rows = list(csv.DictReader(io.StringIO(server.download(file).decode())))
    assert len(rows) == len(masks)
    assert float(rows[-1]["x"]) == pytest.approx(50 + 6 * (len(masks) - 1), abs=12)


def test_colors_are_carried_on(server, disc):
    path, _ = disc
    video, file, _ = server.call("track", server.upload(path), COLOR, None, "", None, "lab", 96)
    assert file is None
    assert np.ptp(VideoFile(video["path"])[-1].astype(int), axis=2).mean() > 20


def test_patch_colors_and_activations(server):
    image = server.upload(PHOTOGRAPHS[0])
    for view, least in (("patch colors", 2), ("activations", 4)):
        gallery = server.call("look", image, view, "clip-lite", 0.5, 0)[0]
        assert len(gallery) >= least
        assert all(item["caption"] for item in gallery)


def test_mistakes_have_one_sentence(server, disc):
    image, video = server.upload(PHOTOGRAPHS[0]), server.upload(disc[0])
    cases = [
        ("classify", (None, "a", "{}", "clip-lite"), "Give an image first"),
        ("classify", (image, "", "{}", "clip-lite"), "Write at least one label"),
        ("classify", (image, "a\na", "{}", "clip-lite"), "given twice"),
        ("classify", (image, "a", "no place", "clip-lite"), "exactly one"),
        ("classify", (image, "a", "{}", "no-such-model"), "No model 'no-such-model'"),
        ("classify", (image, "a", "{}", "lab"), "no text encoder"),
        ("match", (image, None, "1,1", "lab"), "Give the right image first"),
        ("match", (image, image, "", "lab"), "Click a point"),
        ("match", (image, image, "9999,1", "lab"), "lies outside"),
        ("track", (None, PAINT, None, "", None, "lab", 96), "Give a video first"),
        ("track", (video, PAINT, None, "", None, "lab", 96), "Nothing is painted"),
        ("track", (video, CLICK, None, "", None, "lab", 96), "No points"),
        ("track", (video, CLICK, None, "a,b", None, "lab", 96), "pairs of pixels"),
        ("track", (video, CLICK, None, "1,1", None, "lab", 1e6), "give 96 to 480"),
        ("look", (image, "attention", "clip-lite", 0.5, 0), "vision transformer"),
        ("look", (image, "puzzle", "clip-lite", 0.5, 0), "mmcontrast fit smoke/jigsaw --out runs/smoke-jigsaw trains"),
        ("look", (image, "puzzle", "", 0.5, 0), "mmcontrast fit smoke/jigsaw --out runs/smoke-jigsaw trains"),
        (
            "look",
            (image, "hidden patches", "clip-lite", 0.5, 0),
            "mmcontrast fit smoke/mae --out runs/smoke-mae trains",
        ),
        ("look", (image, "hidden patches", "", 0.5, 0), "No model is named"),
    ]
    for endpoint, data, sentence in cases:
        found = server.call(endpoint, *data)
        assert sentence in str(found["error"]), (endpoint, data[1:], found, server.said[-20:])
        assert "\n" not in found["error"]
        assert "/mmcontrast-" not in found["error"]


def test_a_view_without_a_bundled_model_says_which_to_give():
    for view, chosen in look_inside.VIEWS.items():
        about, name = look_inside._switched(view, None)
        assert (name is None) == (chosen.wanted in about), view


@pytest.mark.parametrize("view", ["hidden patches", "puzzle"])
def test_the_command_that_is_named_trains_such_a_model(view):
    wanted = look_inside.VIEWS[view].wanted
    recipe, out = re.search(r"mmcontrast fit (\S+) --out (\S+)`", wanted).groups()
    assert (ROOT / "configs" / f"{recipe}.yaml").is_file()
    assert wanted.count(out) == 2


def test_a_slider_is_there_where_it_changes_what_is_shown():
    visible = lambda *given: [update["visible"] for update in look_inside._sliders(*given)]
    assert visible("hidden patches", "any") == [True, True]
    assert visible("puzzle", "clip-lite") == [False, True]
    assert visible("puzzle", "colorization-lite") == [False, False]
    assert visible("attention", "any") == [False, False]
