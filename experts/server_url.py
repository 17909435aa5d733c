"""The address of an OpenAI-compatible server, as an expert of the registry names it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl
from pydantic_core import PydanticCustomError


def _base(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.fragment is not None:
        raise PydanticCustomError("url_fragment", "goes on behind a #, which no server is sent")
    if (url.path or "").rstrip("/").endswith("/completions"):
        raise PydanticCustomError("url_endpoint", "ends in an endpoint, which is put behind it")
    return url


ServerUrl = Annotated[AnyHttpUrl, AfterValidator(_base)]
"""Up to and including /v1; a query goes along with everything that is asked there."""
