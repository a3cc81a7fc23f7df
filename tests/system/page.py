"""The page that a worker shares with the gateway, made from protocol/PROTOCOL.md alone. A test can
play the arbiter, the gateway or the worker with it; of what must be atomic there nothing is, so the
other side must be waiting."""
from __future__ import annotations

import fcntl
import mmap
import os
import struct

SIZE = 4096
EPOCH = 16
STARTED, TURNED, CPU = 64, 72, 80
WORDS = 128
FREE, OFFERED, CLAIMED, DONE, WITHDRAWN = range(5)

F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW = 1033, 1, 2, 4


class Page:
    def __init__(self, sealed: bool = True, version: int = 1) -> None:
        self.fd = os.memfd_create("penstock-page", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, SIZE)
        self.bytes = mmap.mmap(self.fd, SIZE)
        self.bytes[:16] = b"Penstock" + struct.pack("=II", version, SIZE)
        if sealed:
            fcntl.fcntl(self.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
        self.serial = 0

    def close(self) -> None:
        self.bytes.close()
        os.close(self.fd)

    def number(self, at: int) -> int:
        return struct.unpack_from("=Q", self.bytes, at)[0]

    def set_number(self, at: int, number: int) -> None:
        struct.pack_into("=Q", self.bytes, at, number)

    def word(self, request_id: int = 1) -> int:
        return self.number(WORDS + 8 * (request_id - 1))

    def set_word(self, word: int, request_id: int = 1) -> None:
        self.set_number(WORDS + 8 * (request_id - 1), word)

    def state(self, request_id: int = 1) -> int:
        return self.word(request_id) & 0xFF

    def set_state(self, state: int, request_id: int = 1) -> None:
        self.set_word(self.word(request_id) & ~0xFF | state, request_id)

    def offer(self, request_id: int = 1) -> str:
        """As a gateway in its first epoch does; the ticket."""
        self.serial += 1
        ticket = 1 << 32 | self.serial
        self.set_word(ticket << 8 | OFFERED, request_id)
        return f"{ticket:014x}"
