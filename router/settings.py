"""What the environment says, read once; the registry says everything else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experts.errors import WrongUsage


class SettingsError(WrongUsage):
    """An environment variable or option is not usable; the message names it and the remedy."""


PLAIN: Final = {
    "host": ("SHOAL_HOST", "write an address of this machine, such as 127.0.0.1"),
    "port": ("SHOAL_PORT", "write a whole number from 0 to 65535"),
    "strict": ("SHOAL_STRICT", "write 1 or 0"),
    "responses_days": ("SHOAL_RESPONSES_DAYS", "write a whole number of days, 0 to keep none"),
}
"""Settings that are one value each: the variable, and what may be written into it. The first two are options too."""


class Settings(BaseModel):
    """How this process serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    registry: Path
    data_dir: Path
    """Ledger, cached vectors and weights."""
    database: Path | None = None
    """The SQLite file of the ledger; None: the one in the data folder."""
    workers_folder: Path | None = None
    """Where several processes on one port keep what each has counted; None: there is one."""
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    api_keys: tuple[str, ...] = ()
    """Empty: anyone who reaches the loopback address may ask."""
    admin_key: str = ""
    figures_key: str = ""
    """Reads the figures of all keys, and opens nothing else."""
    allowed_hosts: tuple[str, ...] = ()
    """Names this service goes by, beside those of this machine; `*` is any."""
    max_body_bytes: int = Field(default=10_000_000, gt=0)
    responses_days: int = Field(default=30, ge=0)
    """How long answers of /v1/responses are kept for those who did not say `store: false`; 0: none is."""
    strict: bool = False
    """Refuse parameters that are unknown or would have no effect, instead of naming them in a header."""

    @classmethod
    def from_env(cls, env: Mapping[str, str], **options: object) -> Settings:
        """Options win over the environment. Raises `SettingsError`."""
        registry = Path(str(options.pop("registry", None) or env.get("SHOAL_REGISTRY") or "registry.yaml")).absolute()
        named: dict[str, object] = {
            "registry": registry,
            "data_dir": Path(env.get("SHOAL_DATA_DIR") or registry.parent / ".shoal").absolute(),
            "api_keys": _listed(env.get("SHOAL_API_KEYS", "")),
            "allowed_hosts": _listed(env.get("SHOAL_ALLOWED_HOSTS", "")),
            "admin_key": env.get("SHOAL_ADMIN_KEY", ""),
            "figures_key": env.get("SHOAL_FIGURES_KEY", ""),
        }
        if env.get("SHOAL_WORKERS_FOLDER"):
            named["workers_folder"] = Path(env["SHOAL_WORKERS_FOLDER"]).absolute()
        if env.get("SHOAL_DATABASE_URL"):
            named["database"] = _sqlite_file(env["SHOAL_DATABASE_URL"])
        named |= {key: env[variable] for key, (variable, _) in PLAIN.items() if env.get(variable)}
        given = {key: value for key, value in options.items() if value is not None}
        try:
            found = cls.model_validate(named | given)
        except ValidationError as error:
            problem = error.errors()[0]
            key = str(problem["loc"][0])
            variable, remedy = PLAIN[key]
            name = f"--{key}" if key in given else variable
            raise SettingsError(f"{name}: {problem['input']!r} cannot be used. Remedy: {remedy}") from None
        _check_apart(found)
        return found

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach us."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def keys_path(self) -> Path:
        """Where the keys lie that `shoal keys` makes."""
        return self.data_dir / "keys.sqlite"

    @property
    def holdback_key_path(self) -> Path:
        """Where the key lies by which requests are drawn to be held back."""
        return self.data_dir / "holdback.key"

    @property
    def ledger_path(self) -> Path:
        """Where the SQLite ledger lies."""
        return self.database or self.data_dir / "ledger.sqlite"

    @property
    def responses_path(self) -> Path:
        """Where the answers of /v1/responses lie."""
        return self.data_dir / "responses.sqlite"

    @property
    def vectors_folder(self) -> Path:
        """Where vectors of examples and outcomes are kept."""
        return self.data_dir / "vectors"

    @property
    def heads_folder(self) -> Path:
        """Where fitted judges are kept."""
        return self.data_dir / "heads"

    @property
    def editions_folder(self) -> Path:
        """Where what was learnt from use is kept."""
        return self.data_dir / "learned"

    @property
    def certificates_folder(self) -> Path:
        """Where what policies promise is kept, and what watches it."""
        return self.data_dir / "certificates"


def _check_apart(found: Settings) -> None:
    """A key says what may be done with it, so none may stand in two places. Raises `SettingsError`."""
    seen = dict.fromkeys(found.api_keys, "SHOAL_API_KEYS")
    for name, key in (("SHOAL_ADMIN_KEY", found.admin_key), ("SHOAL_FIGURES_KEY", found.figures_key)):
        if key and (other := seen.setdefault(key, name)) != name:
            raise SettingsError(f"{name} is also in {other}. Remedy: make another key for one of them")


def _sqlite_file(url: str) -> Path:
    """The file that a URL names: sqlite:///ledger.sqlite, sqlite:////var/ledger.sqlite. Raises `SettingsError`."""
    scheme, _, name = url.partition(":///")
    if scheme != "sqlite" or not name:
        remedy = "Remedy: write it as sqlite:///PATH, or unset it; the ledger then lies in SHOAL_DATA_DIR"
        raise SettingsError(f"SHOAL_DATABASE_URL: no other database can be had yet. {remedy}")
    return Path(name).absolute()


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word for part in text.split(",") if (word := part.strip()))
