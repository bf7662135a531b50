"""Errors for clients: problem details for HTTP (M. Nottingham and others, RFC 9457, 2023)."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"


def retry_after(seconds: float = 1.0) -> dict[str, str]:
    """Return the Retry-After header."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


class Problem(Exception):
    """The reason for rejecting a request.

    Attributes
    ----------
    status : HTTP status code
    detail : one sentence
    members : machine-readable details: ``parameter``, ``rule``, ``value``, ``limit``
    headers : headers of the answer
    """

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.members = members
        self.headers = headers or {}

    def body(self) -> bytes:
        title = HTTPStatus(self.status).phrase
        return json.dumps({"title": title, "status": self.status, "detail": self.detail, **self.members}).encode()


def over(limit: str, most: int, found: int, unit: str, *, status: int = 413, **members: Any) -> Problem:
    """Return the problem for an exceeded limit."""
    detail = f"{found} {unit} are over the limit of {most}"
    return Problem(status, detail, limit=limit, rule=f"at most {most} {unit}", value=found, **members)


def busy(why: str, seconds: float = 1.0, **members: Any) -> Problem:
    """Return the problem for a busy service, which may accept the request in a few seconds."""
    return Problem(503, f"the service is busy: {why}", headers=retry_after(seconds), **members)
