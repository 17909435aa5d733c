from __future__ import annotations

import json

from pydantic.json_schema import models_json_schema

from router.api.answers import ANSWERS
from router.api.openapi import document, written
from router.api.operations import OPERATIONS


def test_no_answer_takes_the_name_of_a_part_of_a_body() -> None:
    """Both stand among the components, where the later one would win."""
    bodies = {operation.body for operation in OPERATIONS if operation.body is not None}
    _, definitions = models_json_schema([(body, "validation") for body in bodies])
    assert len(definitions["$defs"]) > len(bodies)
    assert not definitions["$defs"].keys() & ANSWERS.keys()


def test_a_message_of_a_chat_is_what_clients_send() -> None:
    message = document("Shoal", "0")["components"]["schemas"]["Message"]
    assert "stop_reason" not in message["properties"]
    assert {"role", "content"} <= message["properties"].keys()


def test_the_document_is_made_once_and_written_as_it_is() -> None:
    assert json.loads(written("Shoal", "0")) == document("Shoal", "0")
    assert written("Shoal", "0") is written("Shoal", "0")
