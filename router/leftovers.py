"""What a Shoal that was killed left of files that were there for a while only, cleared away by the next one."""

from __future__ import annotations

from experts import addition, whole
from experts.draft import DRAFTS
from experts.passing import clear
from router.learn.editions import FOLDER
from router.promises.promises import CERTIFICATES
from router.settings import Settings


def clear_leftovers(settings: Settings) -> None:
    """Beside the registry and in the data folder; what another process is at work with stays."""
    beside, data = settings.registry.resolve().parent, settings.data_dir
    clear(beside, DRAFTS)
    clear(beside / addition.FOLDER, *addition.LEFTOVERS)
    for folder in ("vectors", "heads", FOLDER, CERTIFICATES, f"{CERTIFICATES}/windows"):
        clear(data / folder, whole.LEFT)
