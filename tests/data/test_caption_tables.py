"""Caption tables that break their own format are refused with the line; no caption is cut or swallowed."""

from pathlib import Path

import pytest

from mmcontrast.data.datasets.any_dataset import takes_keys
from mmcontrast.data.datasets.captions import read_captions
from mmcontrast.data.datasets.images import Images
from mmcontrast.errors import InputError


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("csv", "image,caption\nb.jpg,plain\na.jpg,A man, a dog\n", "line 3: has more fields.*comma in double quotes"),
        ("csv", "caption,image\nA man, a dog,a.jpg\n", "line 2: has more fields"),
        ("tsv", "image\tcaption\na.jpg\tone\ttwo\n", "line 2: has more fields.*tab in double quotes"),
        ("tsv", 'image\tcaption\na.jpg\t"unclosed\nb.jpg\tsecond\n', "line 2: a double quote"),
        ("tsv", 'image\tcaption\na.jpg\t" one\nb.jpg\tsecond\nc.jpg\t" three\n', "line 2: a double quote"),
        ("csv", 'image,caption\na.jpg,"one\nb.jpg,two"\n', "line 2: a double quote"),
        ("csv", 'caption,image\n"one,a.jpg\ntwo,b.jpg"\n', "line 2: a double quote"),
        ("csv", "image,caption\na.jpg\n", "line 2: an image or a caption is missing"),
    ],
)
def test_a_broken_row_is_refused_with_its_line(tmp_path: Path, suffix: str, text: str, message: str):
    (tmp_path / f"table.{suffix}").write_text(text)
    with pytest.raises(InputError, match=message):
        read_captions(tmp_path / f"table.{suffix}")


@pytest.mark.parametrize(
    ("suffix", "row", "caption"),
    [
        ("csv", 'a.jpg,"A man, a dog"', "A man, a dog"),
        ("csv", 'a.jpg,"two\nlines"', "two\nlines"),
        ("csv", 'a.jpg,"a ""big"" dog"', 'a "big" dog'),
        ("csv", "a.jpg,plain,,", "plain"),
        ("tsv", 'a.jpg\t6" pizza', '6" pizza'),
        ("tsv", "a.jpg\tx, y", "x, y"),
    ],
)
def test_a_sound_row_keeps_its_whole_caption(tmp_path: Path, suffix: str, row: str, caption: str):
    header = "image,caption" if suffix == "csv" else "image\tcaption"
    (tmp_path / f"table.{suffix}").write_text(f"{header}\n{row}\n")
    names, captions = read_captions(tmp_path / f"table.{suffix}")
    assert (names, captions[0]) == (["a.jpg"], [caption])


def test_classes_derived_from_the_data_sets_here_take_keys():
    class Renamed(Images):
        pass

    assert takes_keys(Renamed.__new__(Renamed))
    assert not takes_keys([1, 2])
