"""The process: opens the model or its upstreams, listens, and drains before it exits."""

from __future__ import annotations

import math
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from visionthink.api import open_engine
from visionthink.core.errors import MissingExtraError, UsageError
from visionthink.core.families import GRIDS
from visionthink.serving.guards import keys_in
from visionthink.serving.pool import Backend, Pool
from visionthink.serving.serve_options import ServeOptions

if TYPE_CHECKING:
    from visionthink.serving.gateway import Gateway


def open_gateway(options: ServeOptions) -> Gateway:
    """The gateway to the model in this process, or to the upstreams. Blocks while a model loads."""
    from visionthink.serving.gateway import Gateway

    upstream = options.upstream
    if not upstream.urls:
        given = {"device": options.device, "dtype": options.dtype, "max_pixels": options.max_pixels}
        engine = open_engine(options.model, **{k: v for k, v in given.items() if v is not None})
        pool = Pool([Backend("this process", engine)])
    else:
        pool = Pool(
            [_upstream(url, options) for url in upstream.urls],
            retries=upstream.retries,
            check_seconds=upstream.check_seconds,
        )
    model = upstream.model if upstream.urls else None
    name = options.name or _name(model or pool.about.model)
    return Gateway(pool, name, options)


def _name(model: str) -> str:
    """A model's name in the API: its own, so that clients keep theirs; of a path, the last part."""
    return Path(model).name if Path(model).is_dir() else model


def _upstream(url: str, options: ServeOptions) -> Backend:
    from visionthink.engines.openai import OpenAIEngine

    engine = OpenAIEngine(
        url,
        options.upstream.model,
        api_key=os.environ.get(options.upstream.key_env, ""),
        grid=GRIDS[options.grid] if options.grid else None,
        profile=options.profile,
        timeout=options.upstream.timeout,
        max_retries=0,  # the pool retries, on another upstream if it can
        max_concurrency=options.limits.running,
    )
    return Backend(url, engine, engine.look_up)


def serve(options: ServeOptions, announce: Callable[[Gateway, str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` gets the gateway and the base URL when it listens.

    Raises:
        UsageError: the server cannot listen on the address, or an option does not fit.
        MissingExtraError, EngineError: see `open_engine`.
    """
    try:
        import uvicorn

        from visionthink.serving.app import create_app
    except ImportError as error:
        raise MissingExtraError("the server", "serve") from error
    keys = keys_in(options.api_key_env)

    with listen(options.host, options.port) as listener:  # before a model takes time to load
        gateway = open_gateway(options)

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    announce(gateway, f"http://{_address(listener)}/v1")

        config = uvicorn.Config(
            create_app(gateway, keys),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=65,  # longer than the pools of clients and proxies keep theirs
            timeout_graceful_shutdown=math.ceil(options.drain_seconds),
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal again after draining; that must not look like a crash.
            signal.signal(number, lambda *_: None)
        Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError if it cannot be opened."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
        # asyncio does this only for sockets that it opened itself. Without it the body of a
        # response waits 40 ms for the client to acknowledge its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, UnicodeError) as error:
        why = str(getattr(error, "strerror", error)).partition(" (while")[0]
        raise UsageError(f"cannot listen on {host} port {port}: {why}; choose another") from error


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
