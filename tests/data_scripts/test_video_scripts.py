import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from data_scripts import davis, jhmdb, kinetics_list
from mmcontrast.data.datasets.davis import Davis
from mmcontrast.data.datasets.keypoints import read_keypoints


def png(value: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.full((8, 12, 3), value, np.uint8)).save(data, "PNG")
    return data.getvalue()


def test_davis(tmp_path, capsys):
    archive = tmp_path / "davis.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for t in range(3):
            file.writestr(f"DAVIS/JPEGImages/480p/bear/{t:05d}.jpg", png(t))
            file.writestr(f"DAVIS/Annotations/480p/bear/{t:05d}.png", png(255))
        file.writestr(
            "DAVIS/ImageSets/2016/val.txt", "/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png\n"
        )
        file.writestr("README", "")
    assert davis.main([str(tmp_path / "out"), "--year", "2016", "--archive", str(archive)]) == 0
    out = tmp_path / "out" / "davis-2016"
    captured = capsys.readouterr()
    assert captured.out.strip() == f"mmcontrast eval davis --data {out} --year 2016"
    assert "1 videos, 3 frames" in captured.err
    assert Davis(out).sequences == ["bear"]
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as file:
        file.writestr("x.txt", "")
    assert davis.main([str(tmp_path / "new"), "--archive", str(tmp_path / "other.zip")]) == 2


def test_jhmdb(tmp_path, capsys):
    joints = io.BytesIO()
    savemat(joints, {"pos_img": np.ones((2, 15, 2))})
    with tarfile.open(tmp_path / "Rename_Images.tar.gz", "w:gz") as tar:
        for t in range(2):
            member = tarfile.TarInfo(f"Rename_Images/run/video/{t + 1:05d}.png")
            member.size = len(png(t))
            tar.addfile(member, io.BytesIO(png(t)))
    with zipfile.ZipFile(tmp_path / "joint_positions.zip", "w") as file:
        file.writestr("joint_positions/run/video/joint_positions.mat", joints.getvalue())
    with zipfile.ZipFile(tmp_path / "splits.zip", "w") as file:
        for number in (1, 2, 3):
            file.writestr(f"splits/run_test_split{number}.txt", "video.avi 2\nother.avi 1\n")
    archives = [str(tmp_path / name) for name in jhmdb.ARCHIVES]
    out = tmp_path / "out"
    assert jhmdb.main([str(out), "--archives", *archives]) == 0
    assert f"--keypoints {out}/test_split1.txt" in capsys.readouterr().out
    videos = list(read_keypoints(out, out / "test_split1.txt"))
    assert [(video.name, video.xy.shape) for video in videos] == [("video", (2, 15, 2))]


def test_kinetics_list(tmp_path, capsys):
    table, folder, out = tmp_path / "train.csv", tmp_path / "videos", tmp_path / "train.txt"
    table.write_text(
        "label,youtube_id,time_start,time_end,split\na,one,3,13,train\nb,-two,0,10,train\nc,three,1,11,train\n"
    )
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "one_000003_000013.mp4").touch()
    (folder / "-two.webm").touch()
    assert kinetics_list.main([str(table), str(folder), "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "2 videos found, 1 missing" in captured.err
    assert captured.out == f"train: {{class_path: Clips, init_args: {{root: {out}}}}}\n"
    assert [line.split("/")[-1] for line in out.read_text().split()] == ["one_000003_000013.mp4", "-two.webm"]
    table.write_text("a,b\n1,2\n")
    assert kinetics_list.main([str(table), str(folder), "--out", str(out)]) == 2
    assert "youtube_id" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        kinetics_list.main([])
