"""An emulated White Rabbit server on this machine, for demos, for this package's tests and for tests of your own DAGs.

The emulator is a strict server, not a mock. It checks the key, the clock and the Ed25519 signature of every request. A
real JavaScript engine computes the text that a client has to sign. The emulator refuses undocumented fields, streams
events, delivers signed callbacks, and fails on demand::

    from airflow_provider_whiterabbit.emulator import Emulator, effects

    with Emulator() as wr:
        wr.component("SWAP")  # a module of your own; a misspelt one is refused
        wr.script("SWAP", output={"hash": "0x1"}, after=2.0)  # ends after two seconds
        wr.fault(effects.Answer(503), kind="record", times=2)  # the first two reads of a record fail
        os.environ.update(wr.environ)
        ...
        assert len(wr.requests(kind="submit")) == 1

In pytest, ``pytest_plugins = ["airflow_provider_whiterabbit.emulator.pytest"]`` adds the fixture
`whiterabbit_emulator`. ``python -m airflow_provider_whiterabbit.emulator`` runs the emulator as a process, with control
endpoints under ``/_emulator``. ``docs/emulator.md`` lists every fault for Python and for HTTP.

The emulator differs from White Rabbit as follows, and guesses where White Rabbit's documentation says nothing:

- The state is lost when the process ends. `stop_server` and `start_server` keep it, except for the callback deliveries
  that were in progress.
- Requests are not rate-limited unless a fault does so.
- A module does what its script says. A module that is neither in the emulator's catalogue nor declared by a test
  answers 422; which status White Rabbit gives is a guess. Inputs are not checked against the catalogue, ``attempts`` is
  validated but has no effect, and every execution costs one credit unless its script says otherwise. The catalogue
  holds a few of White Rabbit's components; the field ``description`` of each definition says what is a guess.
- The body is parsed before the authentication, so malformed JSON answers 400 even without a valid key. The error codes,
  the limit of a body's size, and which of the two documented error shapes an error has, are guesses.
- A new stream begins with the current status (`StreamOptions.announce` turns that off).
- A workflow exists only if a test has scripted it, except ``demo``. Its stages run one after the other; when a stage
  fails, the later ones are canceled. The answer to a component update contains only the fields that were ever updated.
  That an update replaces the values in ``config`` one by one, and does not merge objects within them, is a guess.
- The reserved callback headers, that headers which HTTP can't hold are refused, the number and the pauses of delivery
  attempts, and that ``replay-callback`` answers before the delivery is done, are guesses.
- QuickJS, the JavaScript engine, writes 54 powers of two with one digit more than other engines do; 2 ** -24 is the
  simplest. The emulator refuses the signature of a body that contains such a number.
- A callback URL may use ``http`` if its host is this machine.
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
from airflow_provider_whiterabbit.emulator.world.errors import ApiError
from airflow_provider_whiterabbit.emulator.world.journal import Entry
from airflow_provider_whiterabbit.emulator.world.scripts import Script
from airflow_provider_whiterabbit.emulator.world.settings import StreamOptions

__all__ = ["ApiError", "Certificate", "Emulator", "Entry", "Script", "StreamOptions", "effects"]
