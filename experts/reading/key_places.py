"""Which key goes to which server. Whoever changes a registry over HTTP may not send one where it did not go before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from experts.reading.problems import Problem
from experts.reading.yaml_nodes import read_document
from experts.spec import AnySpec, OpenAISpec, Registry

_WHAT: Final = "may not send a key to {server} by a change over HTTP, for no expert that serves sends it this one"
_REMEDY: Final = (
    "whoever runs Shoal adds the first expert with this key and server to registry.yaml or by `shoal registry add`; "
    "others with the same two may then come over HTTP"
)


def unsent_keys(path: Path, registry: Registry, serving: Registry) -> list[str]:
    """The problems of a `registry`, read from `path`, whose experts send keys where those of `serving` send none.

    Else an admin key would read every variable of this process: it names one, and a server of its own. Raises Unusable
    where the file is no longer the one that `registry` was read from.
    """
    known = {place for spec in serving.experts for place in _places(spec)}
    new = [
        (("experts", index, "key_env"), server)
        for index, spec in enumerate(registry.experts)
        for variable, server in _places(spec)
        if (variable, server) not in known
    ]
    document = read_document(path)
    return [
        Problem(key, _WHAT.format(server=server), _REMEDY).text(str(path), document.line(key)) for key, server in new
    ]


def _places(spec: AnySpec) -> Iterator[tuple[str, str]]:
    """The variable that holds an expert's key, and the server it is sent to; nothing where there is no key."""
    if isinstance(spec, OpenAISpec) and spec.key_env:
        yield spec.key_env, f"{spec.url.scheme}://{spec.url.host}:{spec.url.port}"
