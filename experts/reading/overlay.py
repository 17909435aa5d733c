"""The fallback a user names in the environment instead of in registry.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from experts.errors import RegistryError
from experts.reading.checks import holds_password
from experts.reading.list_price import UnknownListPrice, list_price
from experts.spec import Capability, OpenAISpec, Registry

VARIABLES = {
    "url": "SHOAL_FALLBACK_URL",
    "model": "SHOAL_FALLBACK_MODEL",
    "context": "SHOAL_FALLBACK_CONTEXT",
    "params_b": "SHOAL_FALLBACK_PARAMS_B",
    "list_price": "SHOAL_FALLBACK_LIST_PRICE",
}
"""Key of the expert to the variable that sets it."""

ASSUMED_PARAMS_B = 8
"""Of a fallback whose size nobody tells: its energy is an assumption, and figures that rest on it say so."""

KEY_VARIABLE = "SHOAL_FALLBACK_KEY"

MADE = "fallback"
"""The id of the expert that they make."""

REMEDIES = {
    "url": "write the server's address up to and including /v1, like http://127.0.0.1:8000/v1",
    "model": "write the name the server knows the model by",
    "context": "write tokens as a whole number above 0, like 131072",
    "params_b": "write billions of parameters as a number, like 8",
    "list_price": "write PROVIDER/MODEL as genai-prices names them, like openai/gpt-4o",
}


PRICE_OF_ITS_OWN = (
    f"; only experts in registry.yaml have one, so add the server there, name it under `fallback:` and unset "
    f"{VARIABLES['url']}; or unset {VARIABLES['list_price']}: then what the fallback costs is unknown"
)


def fallback_from(env: Mapping[str, str]) -> OpenAISpec | None:
    """The expert `fallback` that SHOAL_FALLBACK_URL and its companions describe, None when it is not set.

    Raises RegistryError naming each variable that is wrong, never its value: a URL may hold a password.
    """
    if not env.get(VARIABLES["url"]):
        return None
    if holds_password(env[VARIABLES["url"]]):
        problem = f"{VARIABLES['url']}: holds a user name or password. Remedy: put the key into {KEY_VARIABLE}."
        raise RegistryError([problem])
    given = {key: env[name] for key, name in VARIABLES.items() if env.get(name)}
    size = "" if "params_b" in given else f"; its size is not known and taken for {ASSUMED_PARAMS_B} billion parameters"
    expert: dict[str, Any] = {
        "id": MADE,
        "kind": "openai",
        "description": f"The server that {VARIABLES['url']} names{size}",
        "model": "default",
        "key_env": KEY_VARIABLE if env.get(KEY_VARIABLE) else None,
        "context": 131072,
        "params_b": ASSUMED_PARAMS_B,
        "params_assumed": "params_b" not in given,
        "capabilities": [name for name in get_args(Capability) if name != "embeddings"],
        **given,
    }
    try:
        spec = OpenAISpec.model_validate(expert)
        if spec.list_price:
            list_price(spec.list_price)
        return spec
    except UnknownListPrice as error:
        remedy = error.remedy + (PRICE_OF_ITS_OWN if "`price:`" in error.remedy else "")
        raise RegistryError([f"{VARIABLES['list_price']}: {error}. Remedy: {remedy}."]) from None
    except ValidationError as error:
        raise RegistryError([_problem(str(fault["loc"][0]), fault["msg"]) for fault in error.errors()]) from None


def idle(env: Mapping[str, str]) -> str | None:
    """What is to be said of variables that describe a fallback of which none tells where it is; None without such."""
    given = [name for name in (*VARIABLES.values(), KEY_VARIABLE) if env.get(name)]
    if not given or VARIABLES["url"] in given:
        return None
    has = "has" if len(given) == 1 else "have"
    return f"{', '.join(given)} {has} no effect without {VARIABLES['url']}. Remedy: set that too, or unset the others."


def with_fallback(registry: Registry, expert: OpenAISpec) -> Registry:
    """The same registry with one more expert, which is the fallback."""
    return registry.model_copy(update={"fallback": expert.id, "experts": (*registry.experts, expert)})


def _problem(key: str, message: str) -> str:
    return f"{VARIABLES[key]}: {message}. Remedy: {REMEDIES[key]}."
