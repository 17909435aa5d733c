"""GET /dashboard, /playground and the files they are made of: read once, the same for everybody, no data in them.

A browser that opens a page has no key to show, so these are open; what they ask for afterwards is not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

FOLDER: Final = Path(__file__).parents[1] / "web"

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Only files of these kinds are served."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "require-trusted-types-for 'script'",
    )
)
"""Nothing inline, nothing from elsewhere, and no text ever becomes markup."""

HEADERS: Final = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file in memory."""

    body: bytes
    media_type: str
    etag: str


class Pages:
    """The pages and their files, by path."""

    def __init__(self, files: dict[str, File]) -> None:
        self._files = files

    @classmethod
    def open(cls, folder: Path = FOLDER) -> Self:
        """Read every file of a known kind under `folder`. Raises OSError."""
        files = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix in TYPES and path.is_file():
                body = path.read_bytes()
                etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                files[path.relative_to(folder).as_posix()] = File(body, TYPES[path.suffix], etag)
        return cls(files)

    def routes(self) -> list[BaseRoute]:
        """Where they are found."""
        return [
            Route("/", self.door),
            Route("/dashboard", self.page),
            Route("/playground", self.page),
            Route("/web/{path:path}", self.file),
        ]

    async def door(self, _: Request) -> Response:
        """Where a browser that was given no path goes on."""
        return Response(status_code=307, headers={"location": "/playground"})

    async def page(self, request: Request) -> Response:
        """One of the two pages."""
        return self._answer(request, f"{request.scope['path'].strip('/')}.html")

    async def file(self, request: Request) -> Response:
        """A file by its path; what is not among those read does not exist."""
        return self._answer(request, request.path_params["path"])

    def _answer(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            raise HTTPException(404)
        headers = {**HEADERS, "etag": file.etag}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=file.media_type, headers=headers)
