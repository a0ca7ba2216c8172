import os
from contextlib import suppress

import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file

from mmcontrast.configurable import config_of
from mmcontrast.encoders import HFText, OpenClipText, TimmEncoder, TinyConv, TinyText
from mmcontrast.errors import InputError
from mmcontrast.methods import CLIP, SigLIP
from mmcontrast.models import bundled, load, load_encoder
from mmcontrast.models.building import build
from mmcontrast.models.exporting import export
from tests import checkpoints

TEXTS = ["a photo of the old temple", "two dog"]


def tiny(**options):
    torch.manual_seed(0)
    return CLIP(TinyConv(8), TinyText(8), dim=4, **options).eval()


def run_directory(folder, method):
    """What `mmcontrast fit` leaves."""
    folder.mkdir(exist_ok=True)
    config = {"model": {"method": config_of(method), "lr": 0.1}, "data": {"batch_size": 8}, "seed_everything": 0}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    state = {f"method.{name}": value for name, value in method.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "optimizer_states": []}, folder / "last.ckpt")
    return folder


def same(a, b, size=32, tolerance=0.0):
    image = torch.rand(2, 3, size, size)
    with torch.no_grad():
        assert (a.embed_image(image) - b.embed_image(image)).abs().max() <= tolerance
        assert (a.embed_text(a.tokenizer(TEXTS)) - b.embed_text(b.tokenizer(TEXTS))).abs().max() <= tolerance


def test_run_directory_is_the_model(tmp_path):
    method = SigLIP(TinyConv(8), TinyText(8), dim=4).eval()
    loaded = load(run_directory(tmp_path / "run", method))
    same(method, loaded)
    assert not loaded.training
    assert isinstance(load_encoder(tmp_path / "run"), TinyConv)


def test_constructor_arguments_can_be_overridden(tmp_path):
    folder = run_directory(tmp_path / "run", tiny())
    assert load(folder, micro_batch=2).micro_batch == 2
    with pytest.raises(InputError, match="CLIP: got an unexpected keyword argument 'micro_bath'"):
        load(folder, micro_bath=2)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_exported_directory_is_the_model_wherever_it_lies(tmp_path, dtype):
    checkpoints.save_bert(tmp_path / "bert")
    source = timm.create_model("resnet10t")
    save_file(source.state_dict(), tmp_path / "resnet.safetensors")
    image = TimmEncoder("resnet10t", weights=tmp_path / "resnet.safetensors", image_size=32)
    method = CLIP(image, HFText(tmp_path / "bert", pooling="cls"), dim=4).eval()
    export(method, tmp_path / "first", dtype=dtype)
    for gone in [tmp_path / "resnet.safetensors", *(tmp_path / "bert").iterdir()]:
        gone.unlink()
    (tmp_path / "first").rename(tmp_path / "moved")
    loaded = load(tmp_path / "moved")
    same(method, loaded, tolerance=0.0 if dtype == "float32" else 5e-3)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    again = load(export(tmp_path / "moved", tmp_path / "second", dtype="float32"))
    same(loaded, again)
    text = (tmp_path / "moved" / "config.yaml").read_text()
    assert str(tmp_path) not in text
    assert "pretrained" not in text


@pytest.mark.parametrize("kind", ["open_clip", "hf"])
def test_foreign_checkpoints_survive_export(tmp_path, kind):
    if kind == "open_clip":
        checkpoints.save_open_clip(tmp_path / "source", sigmoid=True)
        model = load(f"open_clip:{tmp_path / 'source'}")
        assert isinstance(model.text_encoder, OpenClipText)
    else:
        checkpoints.save_hf_siglip(tmp_path / "source")
        model = load(f"hf:{tmp_path / 'source'}")
    export(model, tmp_path / "out", dtype="float32")
    for gone in (tmp_path / "source").iterdir():
        gone.unlink()
    loaded = load(tmp_path / "out")
    same(model, loaded)
    one, two = model.image_encoder, loaded.image_encoder
    assert torch.equal(one.std, two.std)
    assert (one.crop, one.interpolation, one.image_size) == (two.crop, two.interpolation, two.image_size)


def test_timm_names(tmp_path):
    source = timm.create_model("resnet10t")
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    encoder = load(f"timm:resnet10t@{tmp_path / 'weights.safetensors'}", levels=(8, 16))
    assert torch.equal(encoder.net.conv1[0].weight, source.conv1[0].weight)
    assert encoder.stride == 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip-enormous", "neither a directory nor bundled"),
        ("open_clip:ViT-B-32", "names no weights; wanted open_clip:ARCH/TAG"),
        ("open_clip:ViT-B-32/nonesuch", "No weights 'nonesuch'"),
        ("hf:no/such/folder", "not on this machine"),
        ("timm:resnet10t@none.pth", "No weights at none.pth"),
        ("hf-hub:not a repository", "Cannot fetch"),
    ],
)
def test_what_is_not_there_is_said_plainly(name, message):
    with pytest.raises(InputError, match=message):
        load(name)


def test_broken_directories_are_said_plainly(tmp_path):
    with pytest.raises(InputError, match=r"no config\.yaml"):
        load(tmp_path)
    folder = run_directory(tmp_path / "run", tiny())
    (folder / "last.ckpt").unlink()
    with pytest.raises(InputError, match=r"neither model\.safetensors nor last\.ckpt"):
        load(folder)
    (folder / "config.yaml").write_text("model: 3")
    with pytest.raises(InputError, match=r"no model\.method"):
        load(folder)
    (folder / "config.yaml").write_text("model: {method: {class_path: TinyConv}}")
    with pytest.raises(InputError, match="describes a TinyConv; wanted a method"):
        load(folder)


def test_weights_must_fit(tmp_path):
    folder = export(tiny(), tmp_path / "out")
    state = load_file(folder / "model.safetensors")
    state["surplus"] = state.pop("image_head.weight")
    state["text_head.weight"] = torch.zeros(5, 8)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"lacking: image_head.*too many: surplus.*another shape: text_head") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    folder = run_directory(tmp_path / "run", tiny())
    torch.save({"state_dict": {"method.log_scale": Trap()}}, folder / "last.ckpt")
    with pytest.raises(InputError, match="damaged, or hold more than tensors"):
        load(folder)
    assert not (tmp_path / "sprung").exists()
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(InputError, match="damaged"):
        load(folder)


@pytest.mark.parametrize(
    "path", ["os.system", "torch.nn.Linear", "mmcontrast.models.loading.Path", "mmcontrast.none.X", "Nonesuch"]
)
def test_only_our_classes_are_built(path):
    with pytest.raises(InputError, match=r"config names|Cannot import"):
        build({"class_path": path, "init_args": {}})
    with pytest.raises(InputError, match=r"config names|Cannot import"):
        build({"class_path": "CLIP", "init_args": {"image_encoder": {"class_path": path}, "text_encoder": None}})


def test_every_bundled_model_loads():
    for name in bundled():
        model = load(name)
        image = torch.rand(1, 3, model.encoder.image_size, model.encoder.image_size)
        assert model.encoder(image).isfinite().all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "give the name of a model or a directory"),
        (None, "give the name of a model or a directory"),
        (3, "give the name of a model or a directory"),
        ("clip-lit", "Did you mean 'clip-lite'"),
        ("gopher:x", "no names that begin with gopher:"),
        ("timm:vit_tiny_patch16_24", "Close to it: vit_tiny_patch16_224"),
        ("timm:resnet10t@", "resnet10t"),
    ],
)
def test_names_that_are_no_models(name, message):
    with pytest.raises(InputError, match=message):
        load(name)


def test_a_file_instead_of_its_directory(tmp_path):
    folder = run_directory(tmp_path / "run", tiny())
    with pytest.raises(InputError, match=f"give its directory, {folder}"):
        load(folder / "last.ckpt")
    (tmp_path / "weights.pth").touch()
    with pytest.raises(InputError, match="or timm:NAME@"):
        load(tmp_path / "weights.pth")


def test_damaged_and_odd_checkpoints_are_one_sentence(tmp_path):
    folder = run_directory(tmp_path / "run", tiny())
    path, content = folder / "last.ckpt", (folder / "last.ckpt").read_bytes()
    random = torch.Generator().manual_seed(0)
    odd = [b"", b"PK", content[:100], content[: len(content) // 2], content[:-30], content[300:], bytes(5000)]
    for position in torch.randint(len(content), (12,), generator=random).tolist():
        odd.append(content[:position] + bytes([content[position] ^ 255]) * 40 + content[position + 40 :])
    for data in odd:
        path.write_bytes(data)
        with suppress(InputError):  # some flipped bytes are numbers of a tensor
            load(folder)
    state = {f"method.{name}": value for name, value in tiny().state_dict().items()}
    name = "method.log_scale"
    for value in ([], {}, 3, None, {"state_dict": []}, {"state_dict": {}}, {"state_dict": state | {name: 1.0}}):
        torch.save(value, path)
        with pytest.raises(InputError):
            load(folder)
    for value in (torch.zeros((), dtype=torch.int64), torch.zeros(3), torch.zeros((), device="meta")):
        torch.save({"state_dict": state | {name: value}}, path)
        with pytest.raises(InputError, match="do not fit"):
            load(folder)
    torch.save({"state_dict": {**state, 3: torch.zeros(1)}}, path)
    assert load(folder).log_scale.ndim == 0
