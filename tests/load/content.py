"""Bytes that belong to one request only: client and application make them for themselves."""
from __future__ import annotations


def body_of(number: int, size: int) -> bytes:
    line = b"request %d of the load test\n" % number
    return (line * (size // len(line) + 1))[:size]
