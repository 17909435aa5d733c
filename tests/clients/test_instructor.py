"""Ten conversations with instructor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import instructor
import openai
import pytest
from instructor import Mode
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, field_validator

from tests.clients.conftest import Served

ASK: Any = [{"role": "user", "content": "a TOWN as json"}]


class Town(BaseModel):
    """A town."""

    city: str
    people: int


PARIS = Town(city="Paris", people=2)


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=served.base_url, api_key="none") as client:
        yield client


@pytest.mark.parametrize("mode", [Mode.TOOLS, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON])
def test_every_mode_gives_the_model(client: OpenAI, mode: Mode) -> None:
    patched: Any = instructor.from_openai(client, mode=mode)
    found = patched.chat.completions.create(model="auto", messages=ASK, response_model=Town, max_retries=1)
    assert found.model_dump() == PARIS.model_dump()


def test_the_completion_beside_it(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client)
    found, completion = patched.chat.completions.create_with_completion(model="auto", messages=ASK, response_model=Town)
    assert found.model_dump() == PARIS.model_dump()
    assert completion.model == "big"


def test_a_partial_stream(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client)
    parts = list(patched.chat.completions.create_partial(model="big", messages=ASK, response_model=Town))
    assert len(parts) > 1
    assert parts[-1].model_dump() == PARIS.model_dump()


def test_a_stream_of_several(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client)
    asked: Any = [{"role": "user", "content": "two PLACES"}]
    found = patched.chat.completions.create_iterable(model="big", messages=asked, response_model=Town)
    assert [town.city for town in found] == ["Paris", "Oslo"]


class Big(BaseModel):
    """A town of another kind."""

    city: str
    people: int

    @field_validator("people")
    @classmethod
    def many(cls, people: int) -> int:
        """Refuse a village."""
        if people < 1000:
            raise ValueError("that is no town")
        return people


def test_what_does_not_validate_is_asked_again(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client, mode=Mode.JSON)
    found = patched.chat.completions.create(model="big", messages=ASK, response_model=Big, max_retries=2)
    assert found.model_dump() == {"city": "Paris", "people": 2000}


def test_what_never_validates_is_an_error(client: OpenAI) -> None:
    class Bigger(Big):
        """One that no answer is."""

        @field_validator("people")
        @classmethod
        def more(cls, people: int) -> int:
            raise ValueError("that is no town")

    patched: Any = instructor.from_openai(client, mode=Mode.JSON)
    with pytest.raises(Exception, match="that is no town"):
        patched.chat.completions.create(model="big", messages=ASK, response_model=Bigger, max_retries=2)


def test_a_failure_is_tried_again(served: Served, client: OpenAI) -> None:
    before = len(served.upstream.seen)
    patched: Any = instructor.from_openai(client, mode=Mode.MD_JSON)
    found = patched.chat.completions.create(model="flaky", messages=ASK, response_model=Town, max_retries=1)
    assert found.model_dump() == PARIS.model_dump()
    assert len(served.upstream.seen) == before + 2


def test_a_stream_that_breaks_off_raises(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client, mode=Mode.MD_JSON)
    cut: Any = [{"role": "user", "content": "CUT"}]
    with pytest.raises(Exception, match="broke off"):
        list(patched.chat.completions.create_partial(model="poet", messages=cut, response_model=Town, max_retries=1))


def test_errors_of_the_server_come_through(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client.with_options(max_retries=0))
    with pytest.raises(Exception, match="nobody") as caught:
        patched.chat.completions.create(model="nobody", messages=ASK, response_model=Town, max_retries=1)
    found: BaseException | None = caught.value
    while found is not None and not isinstance(found, openai.NotFoundError):
        found = found.__cause__
    assert isinstance(found, openai.NotFoundError)


def test_what_the_expert_cannot_do(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client.with_options(max_retries=0))
    with pytest.raises(Exception, match="does not support 'tools'"):
        patched.chat.completions.create(model="cook", messages=ASK, response_model=Town, max_retries=1)


async def test_the_async_client(served: Served) -> None:
    async with AsyncOpenAI(base_url=served.base_url, api_key="none") as client:
        patched: Any = instructor.from_openai(client)
        found = await patched.chat.completions.create(model="auto", messages=ASK, response_model=Town)
    assert found.model_dump() == PARIS.model_dump()


def test_several_models(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client, mode=Mode.PARALLEL_TOOLS)

    class get_weather(BaseModel):  # noqa: N801 - the tool is named after the class
        """The weather of a city."""

        city: str

    asked: Any = [{"role": "user", "content": "WEATHER in two cities"}]
    found = list(patched.chat.completions.create(model="big", messages=asked, response_model=Iterable[get_weather]))
    assert [one.city for one in found] == ["Paris", "Oslo"]


def test_the_local_model_by_its_grammar(client: OpenAI) -> None:
    patched: Any = instructor.from_openai(client, mode=Mode.JSON_SCHEMA)
    asked: Any = [{"role": "user", "content": "Paris has 2 people. Give the town as JSON."}]
    found = patched.chat.completions.create(
        model="chat", messages=asked, response_model=Town, max_tokens=96, temperature=0, max_retries=1
    )
    assert isinstance(found, Town)
