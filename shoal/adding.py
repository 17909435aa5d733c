"""`shoal registry add`: one more expert, with its examples."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

import typer

from experts.errors import WrongUsage
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings, there

if TYPE_CHECKING:
    from experts.addition import Addition
    from experts.registry import LoadedRegistry
    from router.encode import Encoder
    from router.learn.coverage import Coverage
    from router.settings import Settings

Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Any other field, with its value as in registry.yaml; may be repeated."
    ),
]


def _kind(given: str) -> str:
    """Raises `WrongUsage` for one that there is not."""
    from experts.reading.shape import KINDS

    if given not in KINDS:
        raise WrongUsage(f"--kind: {given!r} is no kind of expert. Remedy: one of {', '.join(KINDS)}")
    return given


def _capabilities(given: list[str] | None) -> list[str] | None:
    """Raises `WrongUsage` for one that there is not."""
    from experts.spec import Capability

    known = get_args(Capability)
    for each in given or ():
        if each not in known:
            raise WrongUsage(f"--capability: {each!r} is none. Remedy: one of {', '.join(known)}")
    return given


Kind = Annotated[
    str, typer.Option(callback=_kind, help="The kind of expert: openai, llama_cpp, answers, labels or scripted.")
]
Capabilities = Annotated[
    list[str] | None,
    typer.Option(callback=_capabilities, help="A capability, such as stream or tools; may be repeated."),
]
Examples = Annotated[
    Path | None,
    typer.Option(
        callback=there, help="A file of requests the expert answers well: JSON lines with `input`, or one a line."
    ),
]

OPTIONS: Final = {
    "id": "expert", "kind": "--kind", "description": "--description", "url": "--url", "model": "--model",
    "params_b": "--params-b", "context": "--context", "capabilities": "--capability", "examples": "--examples",
}  # fmt: skip
"""What is given for each key of an expert; every other is given by --set."""

TABLES: Final = (".csv", ".tsv")
"""How files end that hold more than one request a line."""


def add(
    expert: Annotated[str, typer.Argument(help="The id of the new expert.")],
    kind: Kind,
    description: Annotated[str, typer.Option(help="One sentence on what the expert is for.")],
    params_b: Annotated[float, typer.Option(min=0, help="Active parameters, in billions.")],
    context: Annotated[int, typer.Option(min=1, help="Context length: tokens of prompt and answer together.")],
    url: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible server, up to and including /v1.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name on that server.")] = None,
    capability: Capabilities = None,
    examples: Examples = None,
    fields: Fields = None,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Add an expert to the registry; a running server serves it within a second.

    Nothing is changed if the registry would become invalid, or a file that it names is not usable. The examples are
    copied into the folder "added" beside the registry. The output says how many of its own examples the expert would be
    sent and, for an expert on a server, whether that server answers and has the model. An expert whose server is down
    is added all the same.

    Example: shoal registry add sql --kind openai --url http://127.0.0.1:9000/v1 --model sqlcoder --params-b 3
    --context 8192 --description "Turns questions into SQL" --examples sql.jsonl
    """
    from experts.addition import Addition
    from experts.reach import server_of
    from router.learn.fit import examples_of
    from router.learn.newcomer import warnings_about

    entry: dict[str, Any] = {"id": expert, "kind": kind, "description": description, "url": url, "model": model}
    entry = {key: value for key, value in entry.items() if value is not None}
    entry |= {"params_b": params_b, "context": context} | ({"capabilities": capability} if capability else {})
    extra = dict(_field(field) for field in fields or ())
    entry |= extra
    chosen = settings(registry)
    texts = _requests(examples) if examples is not None else []
    loaded, encoder = _added(chosen.registry, Addition.of(entry, texts), extra)
    spec = loaded.registry.expert(expert)
    server = asyncio.run(server_of(spec))
    warnings = warnings_about(expert, loaded.registry, encoder, chosen.vectors_folder)
    if server is not None and server.warning is not None:
        warnings.append(server.warning)
    covered = _covered(loaded, expert, chosen)
    if as_json:
        names = [each.id for each in loaded.registry.experts]
        told = {"without_itself": covered and covered.to_json(), "server": server and server.to_json()}
        echo_json({"version": loaded.version, "experts": names, "warnings": warnings, **told})
        return
    given = _counted(len(examples_of(spec)), texts)
    typer.echo(f"{chosen.registry.name} has the expert {expert} now, with {given}; version {loaded.version}")
    for warning in warnings:
        typer.echo(f"{expert}: {warning}", err=True)
    if server is not None and server.warning is None:
        typer.echo(f"{expert}: {server.told}")
    if covered is not None:
        typer.echo(f"{expert}: {covered.told(expert)}")


def _counted(known: int, texts: list[str]) -> str:
    """How many examples an expert has, those in its own files included, and how many lines of the given repeat."""
    repeats = len(texts) - len(set(texts))
    again = f" ({repeats} of {len(texts)} lines repeat another)" if repeats else ""
    return f"{known} example{'s' * (known != 1)}{again}"


def _covered(loaded: LoadedRegistry, expert: str, chosen: Settings) -> Coverage | None:
    """What its examples say of what it would be given; nothing without examples, or where outcomes tell enough."""
    from experts.errors import RegistryError
    from router.learn.cautions import foretold
    from router.learn.coverage import coverage
    from shoal.promises import judged

    if not foretold(loaded.registry, expert):
        return None
    try:
        judge, promises, _ = judged(chosen, loaded.registry)
    except RegistryError as error:  # of what was learnt from use; the expert is added all the same
        typer.echo(f"{expert}: what it would be given cannot be told. {error.problems[0]}", err=True)
        return None
    return coverage(expert, judge, loaded.registry, promises.rule(loaded.registry.default_policy))


def _added(path: Path, addition: Addition, extra: Collection[str]) -> tuple[LoadedRegistry, Encoder]:
    """The registry with the expert, and its encoder; nothing is changed unless a server could serve both.

    Raises `WeightsError`, and `RegistryError`, which names the keys in `extra` by --set.
    """
    from experts.draft import draft, put
    from experts.errors import RegistryError
    from experts.reading.amendment import amended, with_expert
    from experts.registry import load_registry
    from router.encode import Encoder
    from router.learn.fit import check_rows

    path = path.resolve()
    try:
        old = path.read_bytes()
    except OSError as error:
        raise RegistryError([f"{path}: cannot be read ({error.strerror}). Remedy: correct the path."]) from None
    new = amended(old, lambda text: with_expert(text, addition.entry), path.name)
    try:
        with addition.placed(path), draft(path, new, old) as made:
            loaded = load_registry(made)
            check_rows(loaded.registry)
            encoder = Encoder.of(loaded.registry.encoder)
            if path.read_bytes() != old:
                raise RegistryError([f"{path.name}: was changed by somebody else meanwhile. Remedy: run this again."])
            put(made, path)
    except RegistryError as error:
        raise type(error)([_as_given(problem, extra) for problem in error.problems]) from None
    return loaded, encoder


def _as_given(problem: str, extra: Collection[str]) -> str:
    """A problem of the new expert by the option to correct."""
    found = re.match(r"expert(?:\.(\w+|'[^']*'))?(?=[.:[])", problem)
    if found is None:
        return problem
    key, rest = found[1] or "id", problem[found.end() :]
    if key in OPTIONS and key not in extra:
        return OPTIONS[key] + rest.replace(f"add `{key}:`", f"add `{OPTIONS[key]}`")
    return f"--set: {key}{rest}".replace(f"add `{key}:`", f"add `--set {key}=...`")


def _field(text: str) -> tuple[str, Any]:
    import yaml

    from experts.reading.yaml_syntax import syntax_problem

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--set")
    if key == "id":
        raise WrongUsage("--set: id: is what the command is given first. Remedy: write it there alone")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        problem = syntax_problem(error, value)
        raise WrongUsage(f"--set: {key}: {problem.what}. Remedy: {problem.remedy}") from None


def _requests(path: Path) -> list[str]:
    """The requests of a file. Raises `RegistryError` when there are none, or a row is unusable."""
    from experts.errors import RegistryError
    from experts.rows import read_rows

    if path.name.endswith((".jsonl", ".jsonl.gz", ".json")):
        return [row["input"] for row in read_rows(path, {"input": str})]
    if path.suffix.lower() in TABLES:
        remedy = "Remedy: save the requests alone, one a line as plain text, or as JSON lines with input."
        raise RegistryError([f"{path}: is a table, whose columns and quotes would be read as requests. {remedy}"])
    try:
        raw = path.read_bytes()
        raw.decode()
    except UnicodeDecodeError as error:
        said = f"byte {error.start + 1} is no UTF-8"
        raise RegistryError([f"{path}: cannot be read ({said}). Remedy: save the file as UTF-8."]) from None
    except OSError as error:
        raise RegistryError([f"{path}: cannot be read ({error.strerror}). Remedy: correct the path."]) from None
    if b"\0" in raw:  # valid UTF-8, and yet it is what other encodings and binary files are full of
        said = f"byte {raw.index(0) + 1} is a NUL, which no text has"
        raise RegistryError([f"{path}: cannot be read ({said}). Remedy: save the file as UTF-8."])
    # Bytes end their lines where editors do; text also at separators that stand within a sentence (U+2028, U+0085).
    lines = (line.decode().strip() for line in raw.removeprefix(codecs.BOM_UTF8).splitlines())
    found = [line for line in lines if line]
    if not found:
        raise RegistryError([f"{path}: has no rows. Remedy: write one request a line."])
    return found
