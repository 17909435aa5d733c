from __future__ import annotations

from pathlib import Path

import pytest

from experts.errors import RegistryError
from experts.registry import load_registry
from router.encode import Encoder
from router.learn.fit import examples_of, fit_judge, vectors_of
from tests.service.server import rows, write_registry


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    spec = load_registry(write_registry(tmp_path_factory.mktemp("encoder")), {}).registry.encoder
    return Encoder.open(spec.path, spec.sha256)


def test_what_was_encoded_once_is_read_back_bit_by_bit(encoder: Encoder, tmp_path: Path) -> None:
    texts = ["the sea", "a tax form"]
    fresh = vectors_of(texts, encoder, tmp_path)
    (kept,) = tmp_path.glob("*.safetensors")
    written = kept.stat().st_mtime_ns
    assert (vectors_of(texts, encoder, tmp_path) == fresh).all()
    assert kept.stat().st_mtime_ns == written
    vectors_of(["the sea"], encoder, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_judge_is_fitted_anew_only_when_its_examples_changed(encoder: Encoder, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    first = fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors")
    path.write_text(path.read_text().replace("threshold: 0.7", "threshold: 0.6"))
    same = fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors", first)
    assert same is first
    rows(tmp_path / "poems.jsonl", [{"input": "a poem about fog"}, {"input": "an ode to bread"}])
    other = fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors", first)
    assert other.key != first.key
    assert other.judge.nearest(encoder.encode("a poem about fog"), 1)[0].text == "a poem about fog"


def test_every_kind_of_expert_gives_its_examples(tmp_path: Path) -> None:
    registry = load_registry(Path(__file__).parents[3] / "registry.yaml", {}).registry
    counts = {spec.id: len(examples_of(spec)) for spec in registry.experts}
    assert min(counts.values()) >= 200
    broken = write_registry(tmp_path)
    spec = load_registry(broken, {}).registry.expert("poet")
    (tmp_path / "poems.jsonl").write_text('{"inptu": "x"}\n')
    with pytest.raises(RegistryError, match=r"poems\.jsonl:1: input is missing"):
        examples_of(spec)
