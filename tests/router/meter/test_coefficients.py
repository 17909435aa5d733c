from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from experts.spec import AnySpec, ExpertSpec
from experts.wire import MAX_TOKENS
from router.meter.coefficients import HOST_FACTOR, PROCESSOR, Size, accelerator_j, table_energy
from router.meter.energy import UnitEnergy, table_uj

PUBLISHED = [
    # params_b, batch, J per input token, J per output token: the page the fit comes from
    (0.1, 1, 0.0003, 0.09), (0.1, 8, 0.0003, 0.047), (1, 8, 0.0026, 0.10), (3, 32, 0.008, 0.097), (8, 64, 0.021, 0.135),
    (8, 256, 0.021, 0.093), (14, 8, 0.036, 0.89), (32, 32, 0.083, 0.64), (70, 1, 0.18, 32), (70, 64, 0.18, 0.86),
    (70, 256, 0.18, 0.49),
]  # fmt: skip


def spec(**values: object) -> ExpertSpec:
    told = {"id": "x", "description": "x", "context": 4096, **values}
    found: ExpertSpec = TypeAdapter(AnySpec).validate_python(told)
    return found


@pytest.mark.parametrize(("params_b", "batch", "input_j", "output_j"), PUBLISHED)
def test_the_fit_gives_the_published_table(params_b: float, batch: float, input_j: float, output_j: float) -> None:
    found = accelerator_j(Size(params_b, batch=batch))
    assert found[0] == pytest.approx(input_j, rel=0.16)
    assert found[1] == pytest.approx(output_j, rel=0.05)


def test_eight_bits_halve_what_is_read_and_computed() -> None:
    wide, narrow = Size(70, batch=64), Size(70, bits=8, batch=64)
    assert narrow.touched_gb() == wide.touched_gb() / 2 == 70
    assert accelerator_j(narrow)[0] == accelerator_j(wide)[0] / 2


def test_a_mixture_of_experts_reads_more_of_itself_the_larger_the_batch() -> None:
    alone, crowd = Size(3.3, 30.5, batch=1), Size(3.3, 30.5, batch=256)
    assert alone.touched_gb() == pytest.approx(3.3 * 2)
    assert crowd.touched_gb() == pytest.approx(30.5 * 2)
    assert accelerator_j(Size(3.3, 30.5, batch=8))[1] == pytest.approx(0.82, rel=0.45)  # published: measured .82


def test_small_models_and_small_batches_say_that_nobody_measured_them() -> None:
    assert not Size(8, batch=8).extrapolated
    assert "extrapolated" not in table_energy(Size(8, batch=8)).source
    for size in (Size(7.9, batch=64), Size(70, batch=1)):
        assert size.extrapolated
        assert "extrapolated" in table_energy(size).source


def test_the_host_multiplies_an_accelerator_and_not_a_processor() -> None:
    size = Size(8, batch=64)
    assert table_energy(size).output_j_per_token == pytest.approx(accelerator_j(size)[1] * HOST_FACTOR)
    assert table_energy(size, host_factor=1.0).output_j_per_token == accelerator_j(size)[1]
    cpu = replace(size, machine="cpu", batch=1)
    assert table_energy(cpu).output_j_per_token == accelerator_j(cpu)[1]


@pytest.mark.parametrize(("gb", "low", "high"), [(0.1, 0.03, 0.07), (0.9, 0.25, 0.6), (4.7, 1.3, 3.3)])
def test_a_processor_is_bound_by_reading_its_weights(gb: float, low: float, high: float) -> None:
    assert low * 0.9 <= PROCESSOR.output_j(gb) <= high


def test_an_engine_on_the_processor_takes_the_size_of_its_file() -> None:
    weights = {"source": "file:a.gguf", "sha256": "0" * 64, "licence": "MIT", "size_bytes": 2_000_000_000}
    local = spec(kind="llama_cpp", params_b=3, memory_mb=2500, weights=weights)
    assert Size.of(local) == Size(3, bits=4.5, batch=1, machine="cpu", file_gb=2.0)
    assert Size.of(local).touched_gb() == 2.0


def test_a_server_is_taken_for_an_accelerator_unless_it_says_otherwise() -> None:
    server = {"kind": "openai", "url": "http://x/v1", "model": "m", "params_b": 22}
    assert Size.of(spec(**server)) == Size(22)
    told = spec(**server, total_params_b=235, weight_bits=8, batch=64, runs_on="b200")
    assert Size.of(told) == Size(22, 235, 8, 64, "b200")
    assert "ML.ENERGY v3, B200" in table_energy(Size.of(told)).source


def test_an_expert_without_parameters_takes_nothing() -> None:
    assert accelerator_j(Size(0)) == (0, 0)


@pytest.mark.parametrize("bad", [{"params_b": -1}, {"bits": 0}, {"batch": 0.5}, {"total_params_b": 1}])
def test_sizes_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="no energy for"):
        Size(**{"params_b": 8, **bad})


def test_hundreds_of_the_largest_counts_fit_the_ledgers_sums_at_the_most_joules_a_token() -> None:
    dearest = UnitEnergy.of(table_energy(Size(405, batch=1)))
    assert 200 * table_uj(dearest, MAX_TOKENS, MAX_TOKENS) < 2**63
