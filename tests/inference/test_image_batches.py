from pathlib import Path

from mmcontrast.inference.image_batches import image_files


def test_image_files_come_in_natural_order_without_hidden_ones(tmp_path: Path):
    for name in ("10.png", "2.jpg", "1.PNG", "._1.png", "notes.txt", "b10/1.png", "b9/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    wanted = [tmp_path / name for name in ("1.PNG", "2.jpg", "10.png", "b9/1.png", "b10/1.png")]
    assert image_files(tmp_path) == wanted
    assert image_files(wanted[2], tmp_path) == [wanted[2], *wanted[:2], *wanted[3:]]
