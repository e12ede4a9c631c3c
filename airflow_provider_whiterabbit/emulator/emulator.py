"""`Emulator`: the Python API."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any, Self

from airflow_provider_whiterabbit.emulator.plumbing.background import Background
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate, Identity
from airflow_provider_whiterabbit.emulator.plumbing.listener import Listener
from airflow_provider_whiterabbit.emulator.plumbing.streams import StreamOptions
from airflow_provider_whiterabbit.emulator.scripting import Scripting
from airflow_provider_whiterabbit.emulator.server.app import Application
from airflow_provider_whiterabbit.emulator.server.auth import Authenticator, new_secret
from airflow_provider_whiterabbit.emulator.world.settings import EmptyBody, Settings
from airflow_provider_whiterabbit.emulator.world.world import World


class Emulator(Scripting):
    """A White Rabbit on this machine. See the package's docstring for what it is and is not.

    :param host: address to listen on.
    :param port: 0 for any free port.
    :param api_key: the one key that is let in; random by default.
    :param api_secret: its Ed25519 private key, base64 of PKCS#8 DER; random by default.
    :param require_signature: if False, a request with nothing but its ``X-Api-Key`` is let in.
    :param empty_body_signature: what a request without a body signs.
    :param allowed_workflows: ids of the workflows that the key may use; None for all.
    :param ping_interval: seconds between a stream's pings; None for no pings.
    :param certificate: serve HTTPS with a certificate made for this emulator: ``trusted`` by whoever takes `ca_bundle`,
        or a bad one: ``unknown-ca``, ``self-signed``, ``wrong-host``, ``expired``. None for plain HTTP.
    :raises ValueError: if there is no such certificate, or `api_secret` is not such a key.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        api_key: str | None = None,
        api_secret: str | None = None,
        require_signature: bool = True,
        empty_body_signature: EmptyBody = "object",
        allowed_workflows: Sequence[str] | None = None,
        ping_interval: float | None = 15.0,
        certificate: Certificate | None = None,
    ) -> None:
        self.api_key = api_key or f"ws_{secrets.token_urlsafe(24)}"
        self.api_secret = api_secret or new_secret()
        self.settings = Settings(
            require_signature=require_signature,
            empty_body_signature=empty_body_signature,
            allowed_workflows=allowed_workflows,
            streams=StreamOptions(ping_interval=ping_interval),
        )
        self._host, self._port = host, port
        self._identity = None if certificate is None else Identity(certificate, host)
        listener = Listener(None if self._identity is None else self._identity.context)
        world = World(self.settings)
        authenticator = Authenticator(self.api_key, self.api_secret, world.clock, self.settings)
        self._app = Application(world, authenticator, listener)
        super().__init__(world, Background(self._app, listener))

    def __repr__(self) -> str:
        return f"<Emulator on {self._host}>"

    def __enter__(self) -> Self:
        self.start_server()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop_server()

    def start_server(self) -> None:
        """Serve from a background thread. After `stop_server`: on the same port, and what was under way goes on.

        :raises OSError: if the address can't be had.
        """
        self._background.start(self._host, self._port)

    def stop_server(self) -> None:
        """Close the streams and the server. What it knows is kept, and can still be read."""
        self._background.stop()

    def pause(self, seconds: float | None = None) -> None:
        """Refuse connections and cut the open ones, as in an outage. Executions go on.

        :param seconds: how long; None until `resume`.
        """
        self._background.wait(self._app.outages.pause(seconds))

    def resume(self) -> None:
        """Accept connections again, on the same port.

        :raises OSError: if someone else has taken the port.
        """
        self._background.wait(self._app.outages.resume())

    def cut_connections(self, count: int) -> None:
        """Cut the next connections as soon as they are accepted (with HTTPS: as soon as the handshake is done)."""
        self._call(lambda: self._app.outages.cut_connections(count))

    def reset(self) -> None:
        """Forget executions, runs, scripts, faults and the journal, close streams, restore `settings`, and resume."""
        self._background.wait(self._app.reset())
        self.resume()

    @property
    def url(self) -> str:
        """Base URL, such as ``http://127.0.0.1:41234``."""
        host, port = self._background.address
        scheme = "http" if self._identity is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def ca_bundle(self) -> str | None:
        """File with the certificate of the authority that signed the emulator's; None if there is none to trust."""
        return None if self._identity is None else self._identity.ca_bundle

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection, as the parts of its JSON form."""
        extra = {"api_key": self.api_key}
        if self.ca_bundle is not None:
            extra["ca_bundle"] = self.ca_bundle
        return {"conn_type": "whiterabbit", "host": self.url, "password": self.api_secret, "extra": extra}

    @property
    def environ(self) -> dict[str, str]:
        """The environment variable that gives Airflow the connection `whiterabbit_default`."""
        return {"AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(self.connection)}

    @property
    def clock_offset(self) -> float:
        """Seconds that the emulator's clock is ahead of this machine's; can be set."""
        return self.settings.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self.settings.clock_offset = seconds
