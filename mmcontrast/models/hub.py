"""Exported models in repositories of the Hugging Face hub."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from mmcontrast.errors import InputError, summarize
from mmcontrast.methods.base import Method
from mmcontrast.models.exporting import export

_FILES = ["config.yaml", "model.safetensors", "*.json", "*.txt", "*.model", "README.md"]


def download(repository: str) -> Path:
    """Downloads an exported model, or finds it in the cache.

    Args:
        repository: Name "USER/REPO".

    Returns:
        The directory with its files; code and pickles are never downloaded.

    Raises:
        InputError: There is no such repository, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors(f"Cannot fetch {repository!r} from the Hugging Face hub"):
        return Path(snapshot_download(repository, allow_patterns=_FILES))


def push_to_hub(
    model: Method | str | Path,
    repository: str,
    private: bool = False,
    dtype: Literal["float16", "float32"] = "float16",
    card: str | None = None,
) -> str:
    """Exports a model to a repository of the Hugging Face hub, for ``load("hf-hub:USER/REPO")``.

    The login of the hub (``hf auth login``) is used.

    Args:
        model: A method, or a name for ``load``.
        repository: Name "USER/REPO"; the repository is created if it does not exist.
        private: Whether a new repository is private.
        dtype: Type of the stored weights.
        card: Text of the README.md; None writes a short one.

    Returns:
        The address of the commit.

    Raises:
        InputError: The hub cannot be reached or refuses the upload.
    """
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as scratch:
        folder = export(model, Path(scratch) / repository.rpartition("/")[2], dtype, card)
        with _hub_errors(f"Cannot upload to {repository!r} on the Hugging Face hub"):
            api = HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            return str(
                api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export from mmcontrast")
            )


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    """Turns errors of the network and of the hub into a sentence."""
    import httpx
    from huggingface_hub.errors import HFValidationError

    try:
        yield
    except (httpx.HTTPError, HFValidationError, OSError) as error:
        raise InputError(f"{what}: {summarize(error)}.") from error
