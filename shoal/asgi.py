"""The application for a server process, made from the environment: `uvicorn --factory shoal.asgi:app`."""

from __future__ import annotations

import os

from starlette.applications import Starlette

from router.app import create_app
from router.settings import Settings
from shoal.log import write_log
from shoal.worker import stop_with_supervisor


def app() -> Starlette:
    """The whole service."""
    write_log()
    stop_with_supervisor()
    return create_app(Settings.from_env(os.environ))
