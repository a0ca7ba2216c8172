"""Methods and encoders of other people's packages: registered as entry points, built only if they are trusted."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

import mmcontrast
from mmcontrast.errors import InputError
from mmcontrast.models import export, load
from mmcontrast.models.registry import registered
from tests.models.test_loading import run_directory

CODE = '''
from mmcontrast.encoders import Encoder
from mmcontrast.methods.base import Method
import torch
from torch import nn

open(__file__ + ".imported", "w").close()


class Blocks(Encoder):
    """Means of blocks of pixels."""

    def __init__(self, dim: int = 6, stride: int = 8) -> None:
        super().__init__()
        self.dim, self.stride, self.image_size = dim, stride, 16
        self.net = nn.Conv2d(3, dim, stride, stride)

    def grid(self, image):
        pad = -image.shape[-1] % self.stride, -image.shape[-2] % self.stride
        return self.net(nn.functional.pad(self.normalize(image), (0, pad[0], 0, pad[1]), mode="replicate"))


class Whiten(Method):
    """Pushes the covariance of two views towards the identity."""

    def __init__(self, encoder: Encoder, weight: float = 1.0) -> None:
        super().__init__()
        self.encoder, self.weight = encoder, weight

    def forward(self, batch):
        a, b = (self.encoder(view) for view in batch["views"][:2])
        return {"loss": (a - b).square().mean() + self.weight * (a.std(0) - 1).square().mean()}
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that pip would have installed in ``tmp_path / "site"``."""
    site = tmp_path / "site"
    (site / "their_package").mkdir(parents=True)
    (site / "their_package" / "__init__.py").write_text("")
    (site / "their_package" / "inner.py").write_text(CODE)
    (site / "their_package-1.0.dist-info").mkdir()
    (site / "their_package-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n"
    )
    (site / "their_package-1.0.dist-info" / "entry_points.txt").write_text(
        "[mmcontrast.methods]\nWhiten = their_package.inner:Whiten\n\n"
        "[mmcontrast.encoders]\nBlocks = their_package.inner:Blocks\n"
    )
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.startswith("their_package")]:
        del sys.modules[name]


def test_a_package_of_others_exports_loads_and_predicts(package: Path, tmp_path: Path):
    from their_package.inner import Blocks, Whiten

    torch.manual_seed(0)
    method = Whiten(Blocks(5)).eval()
    image = torch.rand(2, 3, 20, 24)
    for folder in (run_directory(tmp_path / "run", method), export(method, tmp_path / "out", "float32")):
        loaded = load(folder, trust=["their_package"])
        assert type(loaded) is Whiten
        assert torch.equal(loaded.encoder.grid(image), method.encoder.grid(image))
        assert mmcontrast.load_encoder(folder, trust=["their_package"]).dim == 5
        with pytest.raises(InputError, match=r"load with trust=\['their_package'\]"):
            load(folder)
    extractor = mmcontrast.FeatureExtractor(load(tmp_path / "out", trust=["their_package"]))
    assert extractor is not None


def test_nothing_is_imported_before_it_is_trusted(package: Path, tmp_path: Path):
    marker = package / "their_package" / "inner.py.imported"
    (tmp_path / "run").mkdir()
    node = {"class_path": "their_package.inner.Whiten", "init_args": {"encoder": {"class_path": "Blocks"}}}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump({"model": {"method": node}}))
    assert {point.name for point in registered(["their_package"])} == {"Whiten", "Blocks"}
    for trust in ([], ["another_package"], ["their"]):
        with pytest.raises(InputError, match="only classes of mmcontrast"):
            load(tmp_path / "run", trust=trust)
    with pytest.raises(InputError, match="give a list of package names"):
        load(tmp_path / "run", trust="their_package")
    node["class_path"] = "their_package.inner.nn"
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump({"model": {"method": node}}))
    with pytest.raises(InputError, match="registers no such class"):
        load(tmp_path / "run", trust=["their_package"])
    assert not marker.exists()


def test_a_package_of_others_trains(package: Path):
    from their_package.inner import Blocks, Whiten

    torch.manual_seed(0)
    method, losses = Whiten(Blocks(4)), []
    optimizer = torch.optim.SGD(method.parameters(), 0.1)
    views = list(torch.rand(2, 8, 3, 16, 16))
    for _ in range(5):
        loss = method({"views": views})["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
