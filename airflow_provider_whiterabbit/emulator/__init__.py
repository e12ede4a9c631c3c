"""A White Rabbit that runs on this machine: for demos, for this package's tests, and for tests of your own DAGs.

It is a strict server, not a mock. It checks the key, the clock and the Ed25519 signature of every request, lets a real
JavaScript engine decide what the signed text of a body is, refuses fields that the API does not document, streams,
delivers signed callbacks, and misbehaves on demand::

    from airflow_provider_whiterabbit.emulator import Emulator, effects

    with Emulator() as wr:
        wr.script("SWAP", output={"hash": "0x1"}, after=2.0)  # ends after two seconds
        wr.fault(effects.Answer(503), kind="record", times=2)  # the first two reads of a record fail
        os.environ.update(wr.environ)
        ...
        assert len(wr.requests(kind="submit")) == 1

In pytest, ``pytest_plugins = ["airflow_provider_whiterabbit.emulator.pytest"]`` gives the fixture
`whiterabbit_emulator`; ``python -m airflow_provider_whiterabbit.emulator`` runs it as a process, with control endpoints
under ``/_emulator``. ``docs/emulator.md`` lists every fault in both spellings.

What it is not, and where it guesses because the documentation is silent:

- Nothing outlives the process (a `stop_server` and `start_server` it does outlive, except for callback deliveries that
  were under way), and nothing is rate-limited unless a fault says so.
- A module does what its script says: inputs are not checked against the catalogue, ``attempts`` is checked and then
  ignored, and every execution costs one credit unless scripted otherwise.
- The whole body is parsed before anyone is authenticated, so malformed JSON answers 400 to everyone. Which refusals
  use which of the two documented error shapes, the error codes, and the limit of a body's size are guesses.
- A new subscriber is told the current status first (`StreamOptions.announce` turns that off).
- A workflow has to be scripted to exist, except ``demo``. Its stages run one after the other; when one fails the
  others are canceled. The answer to a component update is the component as far as it was told.
- Which callback headers are reserved, how often and how fast a callback is tried again, and that
  ``replay-callback`` answers the record before the delivery is done, are guesses.
- QuickJS, which judges the bodies, writes a few doubles with a digit more than other engines do: 54 powers of two, of
  which 2 ** -24 is the plainest. A body that holds one is refused for its signature.
- ``http`` callback URLs are accepted if they lead to this machine.
"""

from __future__ import annotations

try:
    from airflow_provider_whiterabbit.emulator.emulator import Emulator
except ModuleNotFoundError as error:
    if error.name is not None and error.name.partition(".")[0] in ("quickjs", "starlette", "uvicorn"):
        raise ModuleNotFoundError(
            f"The emulator needs {error.name}: pip install 'airflow-provider-whiterabbit[emulator]'", name=error.name
        ) from error
    raise

from airflow_provider_whiterabbit.emulator import effects
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from airflow_provider_whiterabbit.emulator.plumbing.streams import StreamOptions
from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.journal import Entry
from airflow_provider_whiterabbit.emulator.world.scripts import Script

__all__ = ["ApiError", "Certificate", "Emulator", "Entry", "Script", "StreamOptions", "effects"]
