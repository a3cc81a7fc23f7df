"""A client of Socket.IO in a process of its own: URL TRANSPORT[,TRANSPORT]."""
from __future__ import annotations

import sys
import time

import socketio

peer = socketio.SimpleClient()
peer.connect(sys.argv[1], transports=sys.argv[2].split(","))
end = time.monotonic() + 30
while peer.transport != "websocket" and time.monotonic() < end:
    time.sleep(0.02)
peer.emit("words", {"text": "loud"})
name, data = peer.receive(timeout=30)
print(name, data["upper"], "by", peer.transport)
peer.disconnect()
