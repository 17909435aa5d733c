"""docs/parameters.md against the models that check bodies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from router.api.chat_schema import ChatBody
from router.api.completions import CompletionBody
from router.api.embeddings.schema import EmbeddingsBody
from router.api.messages.schema import MessageBody
from router.api.responses.schema import ResponseBody

PAGE = (Path(__file__).parents[3] / "docs" / "parameters.md").read_text()
BODIES = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/embeddings": EmbeddingsBody,
    "/v1/responses": ResponseBody,
    "/v1/messages": MessageBody,
}


@pytest.mark.parametrize(("path", "body"), BODIES.items())
def test_every_parameter_is_on_the_page(path: str, body: type[BaseModel]) -> None:
    section = PAGE.partition(f"## POST {path}\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \| \S", section, re.MULTILINE)
    assert sorted(told) == sorted(body.model_fields)
