"""`Emulator`: starts and controls an emulated White Rabbit server from Python."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self, TypeVar, Unpack

from airflow_provider_whiterabbit.emulator.awaited import deliveries_text, requests_text, streams_text
from airflow_provider_whiterabbit.emulator.effects import Effect, Fault
from airflow_provider_whiterabbit.emulator.plumbing.background_thread import Background
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate, Identity
from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.listener import Listener
from airflow_provider_whiterabbit.emulator.server.app import Application
from airflow_provider_whiterabbit.emulator.server.auth import Authenticator, new_secret
from airflow_provider_whiterabbit.emulator.world.declarations import Schema, definition_of
from airflow_provider_whiterabbit.emulator.world.executions import Execution
from airflow_provider_whiterabbit.emulator.world.journal import Entry, Kind, Predicate, check_choice
from airflow_provider_whiterabbit.emulator.world.scripts import DEFAULT, Script, ScriptOptions
from airflow_provider_whiterabbit.emulator.world.settings import MAX_BODY, EmptyBody, Settings, StreamOptions
from airflow_provider_whiterabbit.emulator.world.workflows import Ending, StageOptions
from airflow_provider_whiterabbit.emulator.world.world import World

T = TypeVar("T")


class Emulator:
    """An emulated White Rabbit server on this machine. The package's docstring lists its differences from White Rabbit.

    Every method may be called from any thread. The ``wait_for_…`` methods block their thread (an asynchronous test
    calls them through `asyncio.to_thread`) and raise `TimeoutError` after `timeout` seconds. A method raises `ApiError`
    if its execution, run or stage does not exist, `ValueError` if it changes a status that is terminal already or names
    a module that is not declared (see `component`), and `RuntimeError` if it needs a running emulator, or if it is
    called in a process that was forked from the one that runs the emulator.

    :param host: address to listen on.
    :param port: 0 for any free port.
    :param api_key: the only accepted API key; random by default.
    :param api_secret: the key's Ed25519 private key, base64 of PKCS#8 DER; random by default.
    :param require_signature: if False, a request is accepted with nothing but its ``X-Api-Key``.
    :param unsigned_streams: if True, a stream is accepted with nothing but its ``X-Api-Key``.
    :param empty_body_signature: what a request without a body must sign.
    :param allowed_workflows: ids of the workflows that the key may use; None or an empty one to allow all.
    :param ping_interval: seconds between a stream's pings; None for no pings.
    :param max_body: bytes; a longer request body answers 413.
    :param certificate: serve HTTPS with a certificate that is made for this emulator: ``trusted`` by clients that use
        `ca_bundle`, or invalid: ``unknown-ca``, ``self-signed``, ``wrong-host``, ``expired``. None for plain HTTP.
    :param http2: with a `certificate`, offer HTTP/2 too; needs the extra ``http2``. Clients choose (ALPN).
    :param components: modules of your own, as `component` declares them; `reset` keeps them.
    :param control_hosts: names under which the control endpoints may be reached, beside IP addresses, ``localhost`` and
        `host`.
    :raises ValueError: if `certificate` is none of these, or missing with `http2`, or `api_secret` is not an Ed25519
        private key.
    :raises ModuleNotFoundError: if the extra ``http2`` is not installed, and `http2` is set.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        api_key: str | None = None,
        api_secret: str | None = None,
        require_signature: bool = True,
        unsigned_streams: bool = False,
        empty_body_signature: EmptyBody = "object",
        allowed_workflows: Sequence[str] | None = None,
        ping_interval: float | None = 15.0,
        max_body: int = MAX_BODY,
        certificate: Certificate | None = None,
        http2: bool = False,
        components: Sequence[str] = (),
        control_hosts: Sequence[str] = (),
    ) -> None:
        self.api_key = api_key or _new_key()
        self.api_secret = api_secret or new_secret()
        self.settings = Settings(
            require_signature=require_signature,
            unsigned_streams=unsigned_streams,
            empty_body_signature=empty_body_signature,
            allowed_workflows=allowed_workflows,
            streams=StreamOptions(ping_interval=ping_interval),
            max_body=max_body,
        )
        self._host, self._port = host, port
        self._identity = None if certificate is None else Identity(certificate, host)
        for name, names in (("components", components), ("control_hosts", control_hosts)):
            if isinstance(names, str):
                raise TypeError(f"{name} must be a list of names, not {names!r}")
        self._world = World(self.settings, components)
        self._authenticator = Authenticator(self.api_key, self.api_secret, self._world.clock, self.settings)
        if http2 and self._identity is None:
            raise ValueError("http2 needs a certificate, because clients choose HTTP/2 in the handshake of TLS")
        listener = Listener(None if self._identity is None else self._identity.context, http2=http2)
        self._app = Application(self._world, self._authenticator, listener, (host, *control_hosts))
        self._background = Background(listener, on_start=self._world.resume, on_stop=self._app.close)

    def __repr__(self) -> str:
        return f"<Emulator on {self._host}>"

    # --- starting, stopping and outages

    def __enter__(self) -> Self:
        self.start_server()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop_server()

    @property
    def is_running(self) -> bool:
        """Whether this process runs the emulator's server, also during a simulated outage."""
        return self._background.is_running

    def start_server(self) -> None:
        """Start the server in a background thread. After `stop_server`, use the same port and continue all executions.

        :raises OSError: if the address cannot be bound.
        """
        self._background.start(self._host, self._port)

    def stop_server(self) -> None:
        """Close event streams and stop the server. Executions, workflow runs and received requests stay readable."""
        self._background.stop()

    def pause(self, seconds: float | None = None) -> None:
        """Simulate an outage: refuse new connections and reset open connections. Executions continue.

        :param seconds: the outage ends after that time; None for an outage until `resume`.
        """
        self._background.wait(self._app.outages.pause(seconds))

    def resume(self) -> None:
        """End a simulated outage: accept connections again, on the same port.

        :raises OSError: if another program has taken the port.
        """
        self._background.wait(self._app.outages.resume())

    def cut_connections(self, count: int) -> None:
        """Reset the next `count` connections as soon as they are accepted (with HTTPS: after the TLS handshake)."""
        self._call(lambda: self._app.outages.cut_connections(count))

    def reset(self) -> None:
        """Remove executions, workflow runs, scripts, faults, requests; restore `settings`; end streams and outages."""
        self._background.wait(self._app.reset())

    # --- connection

    @property
    def url(self) -> str:
        """Base URL of the emulator, such as ``http://127.0.0.1:41234``."""
        host, port = self._background.address
        scheme = "http" if self._identity is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def ca_bundle(self) -> str | None:
        """Path of the CA file with which clients verify the emulator's HTTPS certificate; None without a CA file."""
        return None if self._identity is None else self._identity.ca_bundle

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection to this emulator, as a dict with the fields of a connection in JSON."""
        extra = {"api_key": self.api_key}
        if self.ca_bundle is not None:
            extra["ca_bundle"] = self.ca_bundle
        return {"conn_type": "whiterabbit", "host": self.url, "password": self.api_secret, "extra": extra}

    @property
    def environ(self) -> dict[str, str]:
        """The environment variable that defines the Airflow connection `whiterabbit_default` to this emulator."""
        return {"AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(self.connection)}

    def rotate_key(self) -> None:
        """Replace the API key and the API secret by new ones. Requests with the earlier ones answer 401 from now on."""
        self.api_key, self.api_secret = _new_key(), new_secret()
        self._call(lambda: self._authenticator.replace_key(self.api_key, self.api_secret))

    @property
    def clock_offset(self) -> float:
        """How many seconds the emulator's clock is ahead of this machine's clock; can be set."""
        return self.settings.clock_offset

    @clock_offset.setter
    def clock_offset(self, seconds: float) -> None:
        self.settings.clock_offset = seconds

    # --- executions

    def script(self, module: str, *steps: Script, **options: Unpack[ScriptOptions]) -> None:
        """Set how a module's next executions end: by the scripts `steps` in turn, or by one `Script` of `options`.

        :raises ValueError: if both are given, the module is not declared (see `component`), or as `Script` does.
        :raises TypeError: if one of `steps` is not a `Script`, or as `Script` does.
        """
        if steps and options:
            raise ValueError("give scripts or options, not both")
        scripts = steps or (Script(**options),)
        self._call(lambda: self._world.script(module, scripts))

    def create_execution(
        self, module: str, inputs: Any = None, config: Any = None, **options: Unpack[ScriptOptions]
    ) -> str:
        """Create an execution without an HTTP request; return its id. Without `options`, use the module's script."""
        script = Script(**options) if options else None
        return self._call_running(lambda: self._world.create_execution(module, inputs or {}, config or {}, script).id)

    def start(self, execution_id: str) -> None:
        """Change the status of an execution to EXECUTING."""
        self._call(lambda: self._world.execution(execution_id).start())

    def complete(self, execution_id: str, output: Any = DEFAULT, *, usage: float | None = None) -> None:
        """Change the status of an execution to COMPLETED, by default with the output that its `Script` defines."""
        self._end(execution_id, lambda execution: execution.complete(output, usage))

    def fail(self, execution_id: str, error: Any, *, usage: float | None = None) -> None:
        """Change the status of an execution to FAILED, with an error."""
        self._end(execution_id, lambda execution: execution.fail(error, usage))

    def execution(self, execution_id: str) -> dict[str, Any]:
        """Return the record of an execution. Unlike a client's request, the call never changes the status."""
        return self._call(lambda: self._world.execution(execution_id).record())

    @property
    def executions(self) -> list[dict[str, Any]]:
        """The records of all executions, oldest first."""
        return self._call(lambda: [execution.record() for execution in self._world.executions.values()])

    def wait_for_delivery(self, execution_id: str, *, count: int = 1, timeout: float = 60.0) -> None:
        """Wait until `count` callback deliveries of an execution have succeeded or failed.

        :param timeout: seconds.
        :raises ValueError: if the execution has no callback.
        :raises TimeoutError: when the time is up. The message says what happened instead.
        """
        execution = self._call(lambda: self._world.execution(execution_id))
        if execution.callback.url is None:
            raise ValueError(f"execution {execution_id} has no callback, so nothing will be delivered")
        self._wait_until(
            execution.changes,
            lambda: execution.callback.finished >= count,
            timeout,
            lambda: deliveries_text(execution, count),
        )

    # --- workflows

    def script_workflow(
        self,
        workflow_id: str,
        stages: Sequence[StageOptions],
        *,
        ending: Ending | None = None,
        reason: str | None = None,
    ) -> None:
        """Set the stages and the ending of a workflow's next runs (see `WorkflowScript`); create a missing workflow.

        :param stages: one after the other, such as ``{"module": "SWAP", "output": {...}, "after": 2.0}``.
        """
        self._call(lambda: self._world.script_workflow(workflow_id, stages, ending, reason))

    def create_run(self, workflow_id: str) -> str:
        """Start a workflow without an HTTP request, and return the id of the workflow run."""
        return self._call_running(lambda: self._world.create_run(workflow_id)[0].id)

    def cancel_run(self, run_id: str, reason: str | None = None) -> None:
        """Change the status of a workflow run to CANCELED."""
        self._call(lambda: self._world.run(run_id).cancel(reason))

    def start_stage(self, run_id: str, stage: int) -> None:
        """Change the status of a stage of a workflow run to RUNNING; stages are numbered from 0."""
        self._call_running(lambda: self._world.stage(run_id, stage).start())

    def complete_stage(self, run_id: str, stage: int, output: Any = DEFAULT, *, usage: float | None = None) -> None:
        """Change the status of a stage of a workflow run to COMPLETED, by default with the output of its script."""
        self._call_running(lambda: self._world.stage(run_id, stage).complete(output, usage))

    def fail_stage(self, run_id: str, stage: int, error: Any, *, usage: float | None = None) -> None:
        """Change the status of a stage of a workflow run to FAILED, with an error."""
        self._call_running(lambda: self._world.stage(run_id, stage).fail(error, usage))

    def run(self, run_id: str) -> dict[str, Any]:
        """Return the record of a workflow run. Unlike a client's request, the call never changes the status."""
        return self._call(lambda: self._world.run(run_id).record())

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The records of all workflow runs, oldest first."""
        return self._call(lambda: [run.record() for run in self._world.runs.values()])

    def component(
        self,
        module: str,
        *,
        inputs: Mapping[str, Schema] | None = None,
        outputs: Mapping[str, Schema] | None = None,
        config: Mapping[str, Schema] | None = None,
        optional: Collection[str] = (),
        required_config: Collection[str] = (),
    ) -> None:
        """Declare a component of your own; submissions of modules that are in no definition answer 422.

        :param inputs: schemas by name, such as ``{"amount": "bigint", "side": {"enum": ["BUY", "SELL"]}}``. Operators
            with ``validate=True`` check them; the emulator does not.
        :param optional: names of the inputs that may be missing.
        :param required_config: names of the config fields that may not be missing.
        :raises ValueError: if a schema is neither a mapping nor the name of a type, or a name is not declared.
        """
        self.add_component(definition_of(module, inputs, outputs, config, optional, required_config))

    def add_component(self, definition: Mapping[str, Any]) -> None:
        """Add a component definition to the catalogue, or replace the module's existing definition."""
        self._call(lambda: self._world.catalogue.add(definition))

    # --- streams

    def stream_options(self, identity: str | None = None, **changes: Any) -> None:
        """Change options (see `StreamOptions`) of the event streams that clients open after this call.

        :param identity: id of an execution or run; None for every execution and run without its own options.
        """
        self._call(lambda: self._world.change_stream_options(identity, changes))

    def streams(self, identity: str) -> int:
        """Return how many event streams of an execution or workflow run are open."""
        return self._call(lambda: len(self._world.topic(identity)))

    def send_raw(self, identity: str, data: bytes) -> None:
        """Send bytes unchanged, not as an event, on all open event streams of an execution or workflow run."""
        self._call(lambda: self._world.topic(identity).send_raw(data))

    def close_streams(self, identity: str | None = None) -> None:
        """Close the open event streams of an execution or workflow run cleanly; None closes all open streams."""
        self._call(self._world.close_streams if identity is None else lambda: self._world.topic(identity).close())

    def wait_for_stream(self, identity: str, *, count: int = 1, timeout: float = 60.0) -> None:
        """Wait until `count` event streams of an execution or workflow run are open; 0 waits until all are closed.

        :param timeout: seconds.
        :raises TimeoutError: when the time is up. The message says what happened instead.
        """
        topic = self._call(lambda: self._world.topic(identity))
        enough = (lambda: len(topic) >= count) if count else (lambda: len(topic) == 0)
        self._wait_until(
            self._world.streams_changed,
            enough,
            timeout,
            lambda: streams_text(identity, count, self.streams(identity), self.journal),
        )

    # --- faults

    def fault(
        self,
        effect: Effect,
        *,
        kind: Kind | None = None,
        method: str | None = None,
        path: str | None = None,
        module: str | None = None,
        where: Predicate | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> Fault:
        """Add a simulated fault, by default for one request. Method `release` ends the effect `Hold`.

        :param effect: what happens, such as ``effects.Answer(503)``; the other parameters are those of `Fault`.
        :raises ValueError: if no request can match, or as `Fault` does.
        """
        fault = Fault(effect, kind, method, path, skip, times, module, where)

        def add() -> None:
            self._world.check_module(module)
            self._app.faults.add(fault)

        self._call(add)
        return fault

    def release(self, fault: Fault) -> None:
        """Release a `Hold`: let the requests that the simulated fault holds back, and later requests, continue."""
        self._call(fault.release)

    def clear_faults(self) -> None:
        """Remove all simulated faults, and let all requests continue that a `Hold` holds back."""
        self._call(self._app.faults.clear)

    # --- journal

    @property
    def journal(self) -> list[Entry]:
        """All requests that the emulator received, in order of arrival, except requests to its control endpoints."""
        return self._call(lambda: self._world.journal.entries)

    def requests(
        self,
        *,
        method: str | None = None,
        path: str | re.Pattern[str] | None = None,
        kind: Kind | None = None,
        module: str | None = None,
    ) -> list[Entry]:
        """Return the received requests that have this method, path, kind of endpoint and module (see `Entry.matches`).

        :raises ValueError: if no request can match, so that an empty list would prove nothing.
        """
        check_choice(method, path, kind)
        self._call(lambda: self._world.check_module(module))
        return [entry for entry in self.journal if entry.matches(method, path, kind, module)]

    def wait_for_request(
        self,
        *,
        method: str | None = None,
        path: str | re.Pattern[str] | None = None,
        kind: Kind | None = None,
        module: str | None = None,
        count: int = 1,
        answered: bool = False,
        timeout: float = 60.0,
    ) -> list[Entry]:
        """Wait until the emulator has received `count` requests that match as in `requests`; return all that match.

        :param answered: count only requests whose answer has begun.
        :param timeout: seconds.
        :raises ValueError: if no request can match.
        :raises TimeoutError: when the time is up. The message lists what has arrived instead.
        """

        def matching() -> list[Entry]:
            entries = self.requests(method=method, path=path, kind=kind, module=module)
            return [entry for entry in entries if entry.status is not None or not answered]

        matching()  # Raises for a request that can't exist, here rather than in the emulator's thread.
        choice = {"method": method, "path": path, "kind": kind, "module": module}
        self._wait_until(
            self._world.journal.changes,
            lambda: len(matching()) >= count,
            timeout,
            lambda: requests_text(choice, count, answered, len(matching()), self.journal),
        )
        return matching()

    def _call(self, function: Callable[[], T]) -> T:
        return self._background.call(function)

    def _call_running(self, function: Callable[[], T]) -> T:
        self._background.check_running()
        return self._call(function)

    def _end(self, execution_id: str, end: Callable[[Execution], None]) -> None:
        def end_execution() -> None:
            execution = self._world.execution(execution_id)
            if execution.callback.url is not None:
                self._background.check_running()  # because the end begins a delivery
            end(execution)

        self._call(end_execution)

    def _wait_until(
        self, changes: Changes, condition: Callable[[], bool], timeout: float, missed: Callable[[], str]
    ) -> None:
        try:
            self._background.wait(changes.until(condition), timeout)
        except TimeoutError:
            raise TimeoutError(f"After {timeout:g} s: {missed()}.") from None


def _new_key() -> str:
    return f"ws_{secrets.token_urlsafe(24)}"
