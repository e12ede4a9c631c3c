"""The command line of the emulator: ``python -m airflow_provider_whiterabbit.emulator``."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from typing import get_args

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from airflow_provider_whiterabbit.emulator.world.settings import MAX_BODY


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator until SIGINT or SIGTERM; print the variable that connects Airflow to the emulator."""
    options = argument_parser().parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        emulator = _started(options)
    except OSError as error:
        place = f"{options.host} port {options.port}" if options.port else options.host
        reason = (error.strerror or str(error)).partition(" (while")[0]  # Python repeats the address
        return _fail(f"can't listen on {place}: {reason}")
    except (ValueError, ModuleNotFoundError) as error:
        return _fail(str(error))
    print(f"White Rabbit emulator on {emulator.url}")
    for name, value in emulator.environ.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    stopped.wait()
    emulator.stop_server()
    return 0


def _started(options: argparse.Namespace) -> Emulator:
    emulator = Emulator(
        options.host,
        options.port,
        api_key=options.api_key,
        api_secret=options.api_secret,
        require_signature=not options.allow_unsigned,
        unsigned_streams=options.allow_unsigned_streams,
        ping_interval=options.ping_interval,
        max_body=options.max_body,
        certificate=options.certificate,
        http2=options.http2,
        components=options.component,
        control_hosts=options.control_host,
    )
    emulator.start_server()
    return emulator


def _fail(reason: str) -> int:
    print(f"White Rabbit emulator: {reason}", file=sys.stderr)
    return 1


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def argument_parser() -> argparse.ArgumentParser:
    """Return the parser of the emulator's command-line arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_whiterabbit.emulator", description="A White Rabbit server on this machine."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="default: any free port")
    add("--api-key", help="default: random")
    add("--api-secret", help="Ed25519 private key, base64 of PKCS#8 DER (default: random)")
    add("--allow-unsigned", action="store_true", help="accept requests with nothing but X-Api-Key")
    add("--allow-unsigned-streams", action="store_true", help="accept event streams with nothing but X-Api-Key")
    add("--ping-interval", type=float, default=15.0, help="seconds between a stream's pings (default: %(default)s)")
    add("--max-body", type=int, default=MAX_BODY, help="bytes that a request body may have (default: %(default)s)")
    add("--certificate", choices=get_args(Certificate), help="serve HTTPS with this kind of certificate")
    add("--http2", action="store_true", help="offer HTTP/2 too, with --certificate")
    add("--component", action="append", default=[], metavar="MODULE", help="module of your own; may be repeated")
    add(
        "--control-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name of this machine under which clients may"
        " control the emulator, beside IP addresses and localhost; may be repeated",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
