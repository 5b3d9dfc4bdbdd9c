"""The gateway of exercises/06-state."""

from __future__ import annotations

import runpy
import socket
import threading
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

RELAY = Path(__file__).resolve().parent.parent / "exercises/06-state/relay.py"


def test_who_connects_to_the_gateway_and_says_nothing_does_not_keep_others_waiting() -> None:
    with runpy.run_path(str(RELAY))["Relay"](0, "127.0.0.1:9", "fail") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with (
            socket.create_connection(("127.0.0.1", server.server_port)),
            closing(HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as client,
        ):
            client.request("GET", "/")
            assert client.getresponse().status == 502
        server.shutdown()
