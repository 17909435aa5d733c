"""Weights from a model hub: the address of a file at one revision."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from experts.errors import WeightsError
from experts.fetching.download import Remote
from experts.fetching.source import HubSource

ENDPOINT = "https://huggingface.co"
"""Unless HF_ENDPOINT names a mirror (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables)."""


def hub_file(source: HubSource, size: int | None, env: Mapping[str, str]) -> Remote:
    """Where `source` is fetched from, with HF_TOKEN as its key when `env` has one. Raises WeightsError."""
    endpoint = (env.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise WeightsError("HF_ENDPOINT: must start with https:// or http://. Remedy: correct or unset it.")
    path = f"{source.owner}/{source.repo}/resolve/{quote(source.revision)}/{quote(source.file)}"
    token = env.get("HF_TOKEN", "").strip()
    return Remote(
        url=f"{endpoint}/{path}",
        name=source.filename,
        refused="check owner, repository, revision and file; a closed one needs HF_TOKEN and its terms accepted",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        size=size,
    )
