import importlib

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MMCONTRAST_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def named(monkeypatch):
    """Makes every model name stand for the given model."""

    def use(model):
        monkeypatch.setattr(importlib.import_module("mmcontrast.models.loading"), "load", lambda name: model)
        return model

    return use
