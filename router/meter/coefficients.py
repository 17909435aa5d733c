"""Joules per token of a model known only by its size: the last resort, method TABLE. Pure.

Per output token on an accelerator, `a G/B + b P + c` joules: G the gigabytes of weights that one decoding step reads,
B the requests decoded side by side, P billions of active parameters. The coefficients are our fit to ML.ENERGY v3
(vLLM, February 2026): on H100 274 rows with a leave-one-model-out median error of 18 % and 90 % within a factor of two,
on B200 26 % and 84 %. The benchmark has no model below 8B and no batch below 8, so that is extrapolated.
`python -m eval.energy_table` repeats the check on rows of your own.

Per input token 2 FLOP per active parameter at half of an H100's peak and 650 W: derived, not measured. For processors
both are bounds: reading the weights at 65 % of the memory's bandwidth, and computing at half of the measured rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, Self

from experts.spec import Energy, ExpertSpec, LlamaCppSpec, Power

HOST_FACTOR: Final = 1.35
"""From the accelerator alone to the whole server. A judgement: published ratios run from 1.2 to 1.43."""

INPUT_J_PER_B: Final = 0.0026
"""Per input token and billion active parameters: 2e9 FLOP / (989e12 FLOP/s x 0.5) x 650 W."""

USUAL_BITS: Final = 16.0
USUAL_CPU_BITS: Final = 4.5
USUAL_BATCH: Final = 8.0

MEASURED_FROM_B: Final = 8.0
MEASURED_FROM_BATCH: Final = 8.0

Machine = Literal["h100", "b200", "cpu"]


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients of the output formula."""

    per_gb: float
    per_params_b: float
    constant: float
    as_of: date
    source: str

    def output_j(self, gb: float, batch: float, params_b: float) -> float:
        """Joules per output token of the accelerator alone."""
        return self.per_gb * gb / batch + self.per_params_b * params_b + self.constant


FITS: Final = {
    "h100": Fit(0.225, 0.00467, 0.0412, date(2026, 2, 16), "fit to ML.ENERGY v3, H100, 274 rows, held-out error 18 %"),
    "b200": Fit(0.247, 0.00280, 0.0296, date(2026, 2, 16), "fit to ML.ENERGY v3, B200, held-out error 26 %"),
}


@dataclass(frozen=True, slots=True)
class Processor:
    """What two hardware threads of a server processor can do; measured 2026-11 on an AMD EPYC guest (AVX-512 VNNI)."""

    watts: float = 4.7
    """Flat out, as a share of the whole server at the wall."""
    read_gb_per_s: float = 24.1
    gflop_per_s: float = 86.5

    def output_j(self, gb: float) -> float:
        """Reading every weight once at 65 % of the bandwidth."""
        return self.watts * gb / (0.65 * self.read_gb_per_s)

    def input_j(self, params_b: float) -> float:
        """2 FLOP a parameter at half of the rate."""
        return self.watts * 2 * params_b / (0.5 * self.gflop_per_s)


PROCESSOR: Final = Processor()


@dataclass(frozen=True, slots=True)
class Size:
    """How large a model is and how it is run."""

    params_b: float
    """Billions of parameters active for a token."""
    total_params_b: float | None = None
    """All of them, when they are more (mixtures of experts)."""
    bits: float = USUAL_BITS
    batch: float = USUAL_BATCH
    machine: Machine = "h100"
    file_gb: float | None = None
    """Of its weights, when known exactly."""

    def __post_init__(self) -> None:
        if self.params_b < 0 or self.bits <= 0 or self.batch < 1 or self.all_params_b < self.params_b:
            raise ValueError(
                f"no energy for {self}: need params_b >= 0, total_params_b >= params_b, bits > 0 and batch >= 1"
            )

    @classmethod
    def of(cls, spec: ExpertSpec) -> Self:
        """What a registry entry says of it, and the usual where it says nothing."""
        local = isinstance(spec, LlamaCppSpec)
        machine: Machine = spec.runs_on or ("cpu" if local else "h100")
        size_bytes = spec.weights.size_bytes if isinstance(spec, LlamaCppSpec) else None
        return cls(
            params_b=spec.params_b,
            total_params_b=spec.total_params_b,
            bits=spec.weight_bits or (USUAL_CPU_BITS if machine == "cpu" else USUAL_BITS),
            batch=spec.batch or (1.0 if machine == "cpu" else USUAL_BATCH),
            machine=machine,
            file_gb=size_bytes / 1e9 if size_bytes and spec.weight_bits is None else None,
        )

    @property
    def all_params_b(self) -> float:
        """Billions of parameters in memory."""
        return self.params_b if self.total_params_b is None else self.total_params_b

    @property
    def extrapolated(self) -> bool:
        """Whether the fit never saw a model so small or so few requests side by side."""
        return self.machine != "cpu" and (self.all_params_b < MEASURED_FROM_B or self.batch < MEASURED_FROM_BATCH)

    def touched_gb(self) -> float:
        """Gigabytes of weights one decoding step reads: all that its `batch` tokens choose, each its active share."""
        whole_gb = self.file_gb or self.all_params_b * self.bits / 8
        if not self.all_params_b:
            return 0.0
        share = self.params_b / self.all_params_b
        return whole_gb * max(share, 1 - float((1 - share) ** self.batch))


def accelerator_j(size: Size) -> tuple[float, float]:
    """Joules per input and per output token of the accelerator alone, or of the whole server where that is a CPU.

    Nothing is generated by an expert without parameters, so it takes nothing here.
    """
    if not size.params_b:
        return 0.0, 0.0
    if size.machine == "cpu":
        return PROCESSOR.input_j(size.params_b), PROCESSOR.output_j(size.touched_gb())
    input_j = INPUT_J_PER_B * size.params_b * (0.5 if size.bits <= 8 else 1.0)
    return input_j, FITS[size.machine].output_j(size.touched_gb(), size.batch, size.params_b)


def table_energy(size: Size, host_factor: float = HOST_FACTOR) -> Energy:
    """Joules per token at the wall. The host's share is already in a CPU's watts."""
    input_j, output_j = accelerator_j(size)
    factor = 1.0 if size.machine == "cpu" else host_factor
    return Energy(
        input_j_per_token=input_j * factor,
        output_j_per_token=output_j * factor,
        source=_source(size, factor),
        as_of=date(2026, 11, 21) if size.machine == "cpu" else FITS[size.machine].as_of,
    )


def energy_of(spec: ExpertSpec, power: Power) -> Energy:
    """Joules per token at the wall, the building's share left out: what the registry says, else the table's."""
    return spec.energy or table_energy(Size.of(spec), power.host_factor)


def _source(size: Size, factor: float) -> str:
    told = f"table by size: {size.params_b:g}B"
    if size.machine == "cpu":
        return f"{told} on a CPU, bound by memory bandwidth at {PROCESSOR.watts:g} W"
    note = "; extrapolated below 8B or below batch 8" if size.extrapolated else ""
    return f"{told}, batch {size.batch:g}; {FITS[size.machine].source}; x{factor:g} for the host{note}"
