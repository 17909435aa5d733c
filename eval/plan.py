"""What `make eval` measures, as data: a table of runs. See eval/data/figures.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from eval.labels_ablation import PARTS as LABELS_PARTS
from eval.outcomes import PARTS as OUTCOMES_PARTS
from eval.outcomes import Split
from eval.requests_ablation import PARTS as REQUESTS_PARTS
from eval.teaching import Teaching
from experts.errors import ShoalError, WrongUsage
from experts.policy import Policy
from experts.reading.yaml_nodes import Unusable, understood

FIGURES: Final = Path(__file__).parent / "data" / "figures.yaml"


class PlanError(ShoalError):
    """A plan, or a file it names, is not usable; the message holds the remedy."""


class NotThere(PlanError, WrongUsage):
    """No such run, or no such file in the folder that was named."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(_Frozen):
    """One figure of a run: what it is called, which way is better, and what is asked of it."""

    title: str
    unit: Literal["", "%", "B", "points"] = ""
    better: Literal["more", "less"]
    reach: float | None = None
    aim: float | None = None

    def reached(self, value: float | None, target: float | None) -> bool | None:
        """Whether a value, as it is measured and not its interval, reaches `reach` or `aim`; None without a target."""
        if target is None:
            return None
        sign = 1 if self.better == "more" else -1
        return value is not None and sign * value >= sign * target


class _Run(_Frozen):
    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    file: str
    seeds: tuple[int, ...] | None = Field(default=None, description="those of the plan when left out")
    figures: dict[str, Figure]
    ablate: tuple[str, ...] = ()
    ablate_seeds: tuple[int, ...] = (0,)
    headline: tuple[str, ...] = Field(default=(), description="figures that an ablation looks at")
    parts: ClassVar[tuple[str, ...]] = ()
    """Of the judge, what such a run can leave out."""

    @model_validator(mode="after")
    def _known_parts(self) -> Self:
        unknown = [part for part in self.ablate if part not in self.parts]
        if unknown:
            raise PydanticCustomError(
                "parts", "{unknown} is none of {parts}", {"unknown": unknown[0], "parts": ", ".join(self.parts)}
            )
        return self

    @model_validator(mode="after")
    def _known_headline(self) -> Self:
        unknown = [name for name in self.headline if name not in self.figures]
        if unknown:
            said = {"unknown": unknown[0], "figures": ", ".join(self.figures)}
            raise PydanticCustomError("headline", "headline: {unknown} is none of its figures, {figures}", said)
        return self


class LabelsRun(_Run):
    """`shoal eval labels`."""

    kind: Literal["labels"]
    parts = LABELS_PARTS
    shots: int | tuple[int, ...] | None = Field(
        default=None, description="rows taught of each label; of several numbers labels take one each, in turn"
    )
    untaught: float = Field(default=0.0, ge=0, lt=1, description="share of the labels that are drawn and never taught")
    left: bool = Field(default=False, description="ask about the training and validation rows that are left, not test")
    unlabelled: int = Field(default=0, ge=0, description="rows not taught that are traffic: their label is not told")
    tune: bool = Field(default=False, description="tune the encoder on the examples first; needs the train extra")

    @property
    def drawn(self) -> bool:
        """Whether anything is drawn at random: what the judge learns from, or what it is asked about."""
        return self.shots is not None or self.untaught > 0

    @property
    def teaching(self) -> Teaching:
        """Which rows are taught, and which are asked about."""
        shots = self.shots if isinstance(self.shots, tuple) else (self.shots,) if self.shots else ()
        return Teaching(shots, self.untaught, self.left, self.unlabelled)


class OutcomesRun(_Run):
    """`shoal eval outcomes`."""

    kind: Literal["outcomes"]
    parts = OUTCOMES_PARTS
    fallback: str
    objective: str
    split: Split
    folds: int = 5
    train: int = 0

    @property
    def drawn(self) -> bool:
        """As above: the split, and those that promises are tried on."""
        return True


class RequestsRun(_Run):
    """`shoal eval requests`: the choices of a registry."""

    kind: Literal["requests"]
    parts = REQUESTS_PARTS
    split: Literal["validation", "test", "all"] = "test"
    policy: Policy | None = Field(default=None, description="the registry's default one when left out")
    list_failures: bool = Field(default=False, description="only where the texts may be published")

    @property
    def drawn(self) -> bool:
        """As above: the windows that drift is looked for in are the same for every seed."""
        return False


Run = LabelsRun | OutcomesRun | RequestsRun


class Plan(_Frozen):
    """Every run, in the order of the report."""

    seeds: tuple[int, ...] = Field(min_length=1)
    runs: tuple[Annotated[Run, Field(discriminator="kind")], ...]

    @model_validator(mode="after")
    def _known_apart(self) -> Self:
        names = [run.id for run in self.runs]
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        if twice is not None:
            raise PydanticCustomError("ids", "two runs have the id {id}, and one record", {"id": twice})
        return self

    def seeds_of(self, run: Run) -> tuple[int, ...]:
        """A run's own seeds, else the plan's."""
        return run.seeds or self.seeds


def read_plan(path: Path) -> Plan:
    """Raises PlanError naming file, line or key, and remedy."""
    said: Any = None
    try:
        document = understood(path.read_bytes())
        if document.problems:
            raise Unusable(document.problems[0])
        said = document.data
        return Plan.model_validate(said)
    except ValidationError as error:
        first = error.errors()[0]
        place = ": ".join(filter(None, (str(path), ".".join(map(str, first["loc"])), _run_at(said, first["loc"]))))
        raise PlanError(f"{place}: {first['msg']}. Remedy: {_remedy(first)}") from None
    except Unusable as error:
        raise PlanError(error.problem.text(str(path))) from None
    except OSError as error:
        raise PlanError(f"{path}: cannot be read ({error.strerror}). Remedy: check the path") from None


def _run_at(said: Any, place: tuple[int | str, ...]) -> str:
    """The run that a fault is in, by its name; empty where it is in none, or in one without."""
    try:
        return f"run {said['runs'][place[1]]['id']!r}" if place[0] == "runs" else ""
    except (IndexError, KeyError, TypeError):
        return ""


def _remedy(fault: Any) -> str:
    """What to write; where a run lacks one of a few words, these."""
    match fault:
        case {"type": "missing", "loc": ("runs", _, kind, name)}:
            run = next(each for each in get_args(Run) if get_args(each.model_fields["kind"].annotation) == (kind,))
            words = ", ".join(map(str, get_args(run.model_fields[name].annotation)))
            return f"give the run {name!r}{words and ', one of '}{words}, as in eval/data/figures.yaml"
    return "write it as in eval/data/figures.yaml"


def find_run(plan: Plan, name: str, path: Path) -> Run:
    """The run with an id. Raises NotThere."""
    for run in plan.runs:
        if run.id == name:
            return run
    raise NotThere(f"{path}: has no run {name!r}. Remedy: one of {', '.join(run.id for run in plan.runs)}")


class _Told(BaseModel):
    """What every figure of a record says, and the gate goes by."""

    model_config = ConfigDict(strict=True)

    title: str
    value: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None
    better: Literal["more", "less"]
    seeds: list[FiniteFloat | None]

    @model_validator(mode="after")
    def _known_ends(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise PydanticCustomError("ends", "one end of its interval lacks")
        return self


_FIGURES: Final = TypeAdapter(dict[str, _Told])


def read_record(path: Path) -> dict[str, Any]:
    """What `shoal eval run` wrote of a run. Raises PlanError, and NotThere of a folder."""
    try:
        record = json.loads(path.read_text())
        _FIGURES.validate_python(record["figures"])
        seeds = [int(seed) for seed in record["seeds"]]
        return {**record, "detail": dict(record["detail"]), "id": str(record["id"]), "seeds": seeds}
    except IsADirectoryError:
        raise NotThere(f"{path}: is a folder. Remedy: name a record in it, as clinc150.json") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = _first(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise PlanError(f"{path}: is no record of a run ({why}). Remedy: make it again with shoal eval run") from None


def _first(error: ValidationError) -> str:
    """The first fault of a record's figures, with its place."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, ('figures', *fault['loc'])))}: {fault['msg']}"


def find(file: str, data: Path, plan: Path) -> Path:
    """Where a run's file lies: in the data folder, else beside the plan. Raises NotThere."""
    for folder in (data, plan.parent):
        if (folder / file).is_file():
            return folder / file
    raise NotThere(
        f"{file}: neither in {data} nor beside {plan}. "
        "Remedy: name the folder that holds it, make eval EVAL_DATA=FOLDER or --data FOLDER"
    )
