"""Servers on the loopback interface, which other machines cannot reach."""

import socket
import urllib.request

from facsimile.errors import FacsimileError

HOST = "127.0.0.1"
SECONDS_TO_ANSWER = 5.0


def reserve(port: int) -> socket.socket:
    """A socket bound to a port (0: any free one); it refuses connections until a server listens.

    Raises:
        FacsimileError: the port is taken.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((HOST, port))
    except OSError as error:
        reserved.close()
        raise FacsimileError(f"port {port}: {error.strerror}; choose another with --port") from None
    return reserved


def answers(url: str) -> bool:
    """Whether a server answers a request to a URL, whatever proxies the user has set."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=SECONDS_TO_ANSWER):
            return True
    except OSError:
        return False
