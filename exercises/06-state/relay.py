"""A gateway as exercises need one: it hands each request on, all over one connection that it keeps open.

    python3 relay.py PORT HOST:PORT retry|fail|never

The last word says what it does when that connection turns out to be cut: ask once more over a new one; let the request
fail (502), and open a new one for the next; or let this one and all that follow fail.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer

PATIENCE_S = 2.0


class Relay(HTTPServer):
    """The gateway's door, and its one connection to where requests go."""

    def __init__(self, port: int, to: str, when_cut: str) -> None:
        super().__init__(("", port), Handler)
        self._to = HTTPConnection(to, timeout=PATIENCE_S)
        self._when_cut = when_cut
        self._cut = False

    def ask(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of the reply."""
        try:
            return self._asked(path)
        except (OSError, HTTPException) as error:
            self._to.close()
            self._cut = True
            if self._when_cut == "retry" and not isinstance(error, TimeoutError):
                return self._asked(path)
            return 502, f"{type(error).__name__}: {error}\n".encode()

    def _asked(self, path: str) -> tuple[int, bytes]:
        if self._cut and self._when_cut == "never":
            return 502, b"the connection was cut\n"
        self._to.request("GET", path)
        reply = self._to.getresponse()
        return reply.status, reply.read()


class Handler(BaseHTTPRequestHandler):
    """One request to the gateway."""

    server: Relay
    timeout = PATIENCE_S  # who connects and says nothing keeps nobody waiting for longer

    def do_GET(self) -> None:
        """Hand the request on, and the reply back."""
        status, body = self.server.ask(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Relay(int(sys.argv[1]), sys.argv[2], sys.argv[3]).serve_forever()
