"""The process: opens the model or its upstreams, listens, and drains before it exits."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import math
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionthink.api import open_engine
from visionthink.core.errors import MissingExtraError, UsageError, VisionThinkError
from visionthink.core.families import GRIDS
from visionthink.mini import EMBEDDED
from visionthink.serving.keys import Keys
from visionthink.serving.pool import Backend, Pool
from visionthink.serving.serve_options import ServeLimits, ServeOptions

if TYPE_CHECKING:
    import uvicorn

    from visionthink.serving.gateway import Gateway


OWN_FILES = 96
"""File descriptors of the server itself, beside a connection to an upstream and one to fetch an
image for each running request."""

console = logging.getLogger(__package__)


def open_gateway(options: ServeOptions) -> Gateway:
    """The gateway to the model in this process, or to the upstreams. Blocks while a model loads."""
    from visionthink.serving.gateway import Gateway

    upstream = options.upstream
    if not upstream.urls:
        given = {"device": options.device, "dtype": options.dtype, "max_pixels": options.max_pixels}
        engine = open_engine(options.model, **{k: v for k, v in given.items() if v is not None})
        if options.model is not None and options.model not in EMBEDDED:
            _confine_template(engine)
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


def _return_large_memory() -> None:
    """Have the C library give large blocks back as soon as they are free (glibc): images come and
    go, and it would keep most of what they took.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


M_MMAP_THRESHOLD = -3
LARGE = 4 * 2**20


def _confine_template(engine: Any) -> None:
    """Have a checkpoint's chat template rendered in a process of its own: it is a program that came
    with the weights, and it could keep this process busy for ever or fill its memory.

    Raises:
        PromptError: it takes too much for a first message already.
    """
    from visionthink.engines.template_process import TemplateProcess

    process = TemplateProcess(engine.checkpoint.tokenizer)
    process([{"role": "user", "content": "Hello"}])
    engine.checkpoint = replace(engine.checkpoint, render=process)


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
    keys = Keys.of(options)
    _return_large_memory()

    with listen(options.host, options.port) as listener:  # before a model takes time to load
        gateway = open_gateway(options)
        gateway.keys = keys

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                if self.started:
                    announce(gateway, f"http://{_address(listener)}/v1")

        config = server_config(create_app(gateway, keys), options)
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal again after draining; that must not look like a crash.
            signal.signal(number, lambda *_: None)
        Server(config).run(sockets=[listener])


def reload_on_hangup(gateway: Gateway, reread: Callable[[], ServeOptions]) -> None:
    """After SIGHUP, take the keys and their limits of the options that `reread` returns. Called in
    the server's loop.
    """
    if hasattr(signal, "SIGHUP"):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, reload_keys, gateway.keys, reread)


def reload_keys(keys: Keys, reread: Callable[[], ServeOptions]) -> None:
    """Take the keys of the options as they are now; wrong ones change nothing."""
    try:
        keys.replace(Keys.of(reread()))
    except VisionThinkError as error:
        console.error("the config was not reloaded: %s", error)
    else:
        console.warning("the config was reloaded: %d keys", len(keys.keys))


def server_config(app: Any, options: ServeOptions) -> uvicorn.Config:
    """How uvicorn runs the application, within the limits of connections."""
    import uvicorn

    from visionthink.serving.connection import Connections, protocol

    connections = Connections(options.limits, most_connections(options.limits))
    return uvicorn.Config(
        app,
        http=protocol(connections),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=65,  # longer than the pools of clients and proxies keep theirs
        timeout_graceful_shutdown=math.ceil(options.drain_seconds),
    )


def most_connections(limits: ServeLimits) -> int:
    """How many connections of clients there may be, so that descriptors are left for the upstreams,
    for files, and for who asks about health.

    Raises:
        UsageError: too few descriptors are allowed.
    """
    try:
        import resource
    except ImportError:  # Windows
        return limits.connections
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
        most = allowed - OWN_FILES - 2 * limits.running
        if most < 8:
            needed = OWN_FILES + 2 * limits.running + 8
            raise UsageError(
                f"expected at least {needed} file descriptors, got {allowed}; raise the limit "
                "(ulimit -n) or lower limits.running"
            )
        if most < limits.connections:
            console.warning(
                "%d file descriptors allow %d connections; limits.connections is %d",
                *(allowed, most, limits.connections),
            )
            return most
    return limits.connections


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
