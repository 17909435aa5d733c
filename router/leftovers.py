"""What a Shoal that was killed left of files that were there for a while only, cleared away by the next one."""

from __future__ import annotations

from experts import addition, whole
from experts.draft import DRAFTS
from experts.passing import clear
from router.settings import Settings


def clear_leftovers(settings: Settings) -> None:
    """Beside the registry and in the data folder; what another process is at work with stays."""
    beside, certificates = settings.registry.resolve().parent, settings.certificates_folder
    clear(beside, DRAFTS)
    clear(beside / addition.FOLDER, *addition.LEFTOVERS)
    kept = settings.vectors_folder, settings.heads_folder, settings.editions_folder
    for folder in (*kept, certificates, certificates / "windows"):
        clear(folder, whole.LEFT)
