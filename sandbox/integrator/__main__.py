"""The integrator as a process of its own: `python -m sandbox.integrator`, configured by environment variables."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
from collections.abc import Mapping
from contextlib import closing
from random import SystemRandom

from werkzeug.serving import BaseWSGIServer, make_server

from sandbox.clock import SystemClock
from sandbox.integrator import Config, ConfigError, Integrator
from sandbox.integrator.failures import Failure

__all__ = ["main", "missing"]

_HOST = "127.0.0.1"
_USAGE_ERROR = 2
_LOOK_UP = 0.5


def main() -> int:
    """Serve and work until SIGTERM or Ctrl-C; returns the exit code, 2 for a mistake in the configuration."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # The server's log of requests says nothing that the shop does not know better.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        return _start(Config.from_env(os.environ))
    except ConfigError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 0


def missing(environment: Mapping[str, str]) -> list[str]:
    """The variables without which `main` would not start."""
    return Config.missing(environment)


def _start(config: Config) -> int:
    try:
        integrator = Integrator(config, SystemClock(), SystemRandom())
    except sqlite3.Error as error:
        return _fail(f"cannot use the data file: {error}; set DATA_FILE to a path that no other integrator uses")
    with closing(integrator):
        try:
            server = _listen(config.port, integrator)
        except OSError as error:
            return _fail(f"cannot listen on port {config.port}: {error.strerror}; set PORT to a free one, or 0")
        with server:
            return _serve(config, integrator, server)


def _listen(port: int, integrator: Integrator) -> BaseWSGIServer:
    """A server on the port; the socket is bound here because werkzeug's own way ends the process when it is taken."""
    with socket.create_server((_HOST, port)) as listener:
        return make_server(_HOST, port, integrator.app, threaded=True, fd=listener.fileno())


def _serve(config: Config, integrator: Integrator, server: BaseWSGIServer) -> int:
    url = f"http://{_HOST}:{server.port}"
    stop = threading.Event()
    serving = threading.Thread(target=server.serve_forever, name="server", daemon=True)
    working = threading.Thread(target=integrator.worker.run, args=(stop,), name="worker", daemon=True)
    serving.start()
    try:
        integrator.subscribe(config.webhook_url or f"{url}/webhooks")
        working.start()
        sys.stdout.write(f"integrator ready on {url}\n")
        sys.stdout.flush()
        # A signal that another thread was handed does not end a wait of this one, so none is without an end.
        while working.is_alive():
            working.join(_LOOK_UP)
    except Failure as failure:
        return _fail(f"cannot subscribe to the shop's events: {failure}; check SHOP_URL, SHOP_API_KEY and WEBHOOK_URL")
    finally:
        stop.set()
        integrator.worker.wake()
        server.shutdown()
        if working.is_alive():
            working.join()
    return 1


def _fail(message: str) -> int:
    sys.stderr.write(f"integrator: {message}\n")
    return _USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
