import ast

import cv2
import numpy as np
import pytest
from PIL import Image

from data_scripts.color_clusters import main


def test_two_colors_are_found(tmp_path, capsys):
    folder = tmp_path / "video"
    folder.mkdir()
    for t in range(3):
        image = np.zeros((64, 96, 3), np.uint8)
        image[:, :48], image[:, 48:] = (200, 60, 60), (60, 60, 200)
        Image.fromarray(image).save(folder / f"{t}.png")
    assert main([str(tmp_path), "--clusters", "2", "--count", "3"]) == 0
    centers = ast.literal_eval(capsys.readouterr().out.removeprefix("centers: "))
    colors = np.float32([[[200, 60, 60], [60, 60, 200]]]) / 255
    wanted = sorted(cv2.cvtColor(colors, cv2.COLOR_RGB2Lab)[0, :, 1:].tolist())
    assert np.allclose(sorted(centers), wanted, atol=1)


def test_no_videos(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert "no videos" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
