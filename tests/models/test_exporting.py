import huggingface_hub
import pytest
import torch
import yaml
from safetensors.torch import load_file

from mmcontrast.encoders import TimmEncoder, TinyConv, TinyText
from mmcontrast.errors import InputError
from mmcontrast.methods import CLIP
from mmcontrast.models import export, export_onnx, push_to_hub
from mmcontrast.models.loading import load


@pytest.fixture
def method():
    torch.manual_seed(0)
    return CLIP(TinyConv(8), TinyText(8), dim=4).eval()


def test_directory_holds_config_weights_and_card(tmp_path, method):
    folder = export(method, tmp_path / "my-clip", card="# Mine")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.yaml", "model.safetensors"]
    assert (folder / "README.md").read_text() == "# Mine"
    node = yaml.safe_load((folder / "config.yaml").read_text())["model"]["method"]
    assert node["class_path"] == "mmcontrast.methods.clip.CLIP"
    assert node["init_args"]["dim"] == 4
    assert {v.dtype for v in load_file(folder / "model.safetensors").values()} == {torch.float16}
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # all may be read by the same people


def test_card_is_begun_for_the_user(tmp_path, method):
    text = (export(method, tmp_path / "my-clip") / "README.md").read_text()
    assert "# my-clip" in text
    assert "library_name: mmcontrast" in text


def test_values_beyond_float16_stay_float32(tmp_path):
    method = CLIP(TimmEncoder("resnet10t"), TinyText(8), dim=4)
    method.image_encoder.net.bn1.running_var.fill_(1e6)
    loaded = load(export(method, tmp_path / "out"))
    assert loaded.image_encoder.net.bn1.running_var[0] == 1e6
    assert loaded.image_encoder.net.bn1.num_batches_tracked.dtype == torch.int64


def test_file_in_the_way(tmp_path, method):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        export(method, tmp_path / "out")


def test_hub_gets_the_exported_directory_and_gives_it_back(tmp_path, method, monkeypatch):
    hub = tmp_path / "hub"

    class Api:
        def create_repo(self, repository, private, exist_ok):
            assert (repository, private, exist_ok) == ("me/my-clip", True, True)

        def upload_folder(self, repo_id, folder_path, commit_message):
            folder_path.rename(hub)
            return f"https://hub/{repo_id}"

    def snapshot_download(repository, allow_patterns):
        assert repository == "me/my-clip"
        assert not any(pattern.endswith((".bin", ".pt", ".ckpt", ".py")) for pattern in allow_patterns)
        return str(hub)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert push_to_hub(method, "me/my-clip", private=True) == "https://hub/me/my-clip"
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(load("hf-hub:me/my-clip").embed_image(image), method.embed_image(image), atol=1e-3)


@pytest.mark.slow
def test_onnx_embeds_alike(tmp_path, method):
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    image, text = export_onnx(method, tmp_path)
    batch = torch.rand(3, 3, 32, 32)
    (embedding,) = onnxruntime.InferenceSession(image).run(None, {"image": batch.numpy()})
    assert torch.allclose(torch.from_numpy(embedding), method.embed_image(batch), atol=1e-5)
    tokens = method.tokenizer(["a dog", "a cat on a mat", "fish"])
    (embedding,) = onnxruntime.InferenceSession(text).run(None, {"tokens": tokens.numpy()})
    assert torch.allclose(torch.from_numpy(embedding), method.embed_text(tokens), atol=1e-5)


def test_onnx_without_its_packages_is_said_plainly(tmp_path, method, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'mmcontrast\[export\]'"):
        export_onnx(method, tmp_path)


def test_an_interrupted_export_leaves_what_was_there(tmp_path, method, monkeypatch):
    from mmcontrast.models import exporting

    folder = export(method, tmp_path / "out", "float32")
    (folder / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "save_file", fail)
    with pytest.raises(OSError, match="No space"):
        export(method, tmp_path / "out")
    with pytest.raises(OSError, match="No space"):
        export(method, tmp_path / "new")
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    export(method, tmp_path / "out", card="# Again")
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "README.md").read_text() == "# Again"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_a_new_an_empty_or_an_exported_directory_is_written_to(tmp_path, method):
    (tmp_path / "empty").mkdir()
    export(method, tmp_path / "empty")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").touch()
    with pytest.raises(InputError, match="is a run directory"):
        export(method, tmp_path / "run")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").touch()
    with pytest.raises(InputError, match="holds other files"):
        export(method, tmp_path / "home")


def test_errors_of_the_hub_are_sentences(method, monkeypatch):
    import httpx

    def fail(*arguments, **options):
        raise httpx.ConnectError("[Errno 111] Connection refused")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", fail)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(InputError, match="Cannot upload to 'me/my-clip'"):
        push_to_hub(method, "me/my-clip")
    with pytest.raises(InputError, match="Cannot fetch 'me/my-clip'"):
        load("hf-hub:me/my-clip")
