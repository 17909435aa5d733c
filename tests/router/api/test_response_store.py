"""The file of responses: conversations read link by link and never too far, forgotten in time, brought up to date."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from router.api.responses import store as limits
from router.api.responses.store import RESPONSES, TABLES, Broken, ResponseStore, TooLong
from router.store import Format, connect


def item(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


async def chain(store: ResponseStore, links: int, text: str = "x") -> None:
    """A conversation of responses r0, r1, ... by the key k."""
    for number in range(links):
        previous = f"r{number - 1}" if number else None
        told = {"id": f"r{number}", "previous_response_id": previous, "output": [item(f"answer {number}")]}
        await store.save("k", [item(f"{text} {number}")], told)


async def test_a_conversation_is_read_oldest_first(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "responses.sqlite", 30)
    await chain(store, 3)
    read = [each["content"] for each in await store.conversation("k", "r1")]
    assert read == ["x 0", "answer 0", "x 1", "answer 1"]
    await store.delete("k", "r0")
    for key, last in (("k", "r2"), ("other", "r1"), ("k", "r9")):
        with pytest.raises(Broken):
            await store.conversation(key, last)
    await store.aclose()


async def test_a_conversation_of_too_many_responses_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_CHAIN", 5)
    store = ResponseStore(tmp_path / "responses.sqlite", 30)
    await chain(store, 6)
    assert len(await store.conversation("k", "r4")) == 10
    with pytest.raises(TooLong):
        await store.conversation("k", "r5")
    await store.aclose()


async def test_a_conversation_of_too_many_bytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResponseStore(tmp_path / "responses.sqlite", 30)
    await chain(store, 40, "y" * 1000)
    rows = len(await store.conversation("k", "r39"))
    monkeypatch.setattr(limits, "MOST_BYTES", 20_000)
    assert rows == 80
    assert len(await store.conversation("k", "r9")) == 20
    with pytest.raises(TooLong):
        await store.conversation("k", "r39")
    await store.aclose()


async def test_what_a_failed_response_said_is_no_part_of_the_conversation(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "responses.sqlite", 30)
    await store.save("k", [item("ask")], {"id": "r0", "status": "failed", "output": [item("half an ans")]})
    assert await store.conversation("k", "r0") == [item("ask")]
    await store.aclose()


async def test_what_is_past_its_time_is_gone_for_good(tmp_path: Path) -> None:
    now_s = 1_000_000.0
    path = tmp_path / "responses.sqlite"
    store = ResponseStore(path, 30, lambda: now_s)
    await store.save("k", [item("a secret word")], {"id": "resp_1", "output": []})
    assert await store.conversation("k", "resp_1") == [item("a secret word")]
    now_s += 30 * 86_400
    assert await store.find("k", "resp_1") is None
    with pytest.raises(Broken):
        await store.conversation("k", "resp_1")
    await store.save("k", [], {"id": "resp_2", "output": []})
    await store.aclose()
    assert b"a secret word" not in path.read_bytes()


async def test_a_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    with closing(connect(path, Format("response file", RESPONSES.application_id, 1, FIRST_TABLES))) as old:
        row = ("resp_1", "k", 2_000_000_000, None, b'[{"type":"message"}]', b'{"id":"resp_1","output":[]}')
        old.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?)", row)
    store = ResponseStore(path, 30, lambda: 1_900_000_000.0)
    found = await store.find("k", "resp_1")
    assert found is not None
    assert (found.input, found.response["id"], found.cuts) == ([{"type": "message"}], "resp_1", [])
    await store.save("k", [], {"id": "resp_2", "output": []}, [[(3, 1)]])
    found = await store.find("k", "resp_2")
    assert found is not None and found.cuts == [[[3, 1]]]
    await store.aclose()


FIRST_TABLES = TABLES.replace(",\n    cuts BLOB", "")


def said(request: str, status: str = "completed") -> dict[str, Any]:
    """A response with one item of output."""
    return {"id": f"resp_{request}", "status": status, "output": [{"id": f"msg_{request}_0", **item("z" * 100)}]}


async def test_items_are_found_by_their_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ResponseStore(tmp_path / "responses.sqlite", 30)
    for request, status in (("a", "completed"), ("b", "completed"), ("c", "failed")):
        await store.save("k", [item("x")], said(request, status))
    wanted = ["msg_a_0", "msg_b_0", "msg_c_0", "msg_b_1", "msg_d_0", "_", "msg"]
    assert list(await store.said("k", wanted)) == ["msg_a_0", "msg_b_0"], "what failed may have stopped in the middle"
    assert await store.said("other", wanted) == {}
    monkeypatch.setattr(limits, "MOST_BYTES", 300)
    assert list(await store.said("k", ["msg_a_0"])) == ["msg_a_0"]
    with pytest.raises(TooLong):
        await store.said("k", ["msg_a_0", "msg_b_0"])
    monkeypatch.setattr(limits, "MAX_CHAIN", 1)
    with pytest.raises(TooLong):
        await store.said("k", ["msg_a_0", "msg_x_0"])
    await store.aclose()
