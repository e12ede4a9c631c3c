"""The command finds the API server and its token, and says what is wrong with either."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from airflow_provider_whiterabbit.doubts.airflow_api import TOKEN_VARIABLE
from tests.doubts.conftest import Command
from tests.doubts.fake_airflow import TOKEN, FakeAirflow


def test_token_of_the_environment(airflow: FakeAirflow, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token comes from the environment variable that `airflowctl` uses."""
    airflow.gives_token = False
    monkeypatch.setenv("AIRFLOW_CLI_TOKEN", TOKEN)
    assert command()[:2] == (0, "0 doubts\n")


def test_no_token(airflow: FakeAirflow, command: Command) -> None:
    """Without a token, the command names the variable to set."""
    airflow.gives_token = False
    status, _, err = command()
    assert status == 1
    assert err.startswith(f"The environment variable {TOKEN_VARIABLE} is not set")


def test_wrong_token(airflow: FakeAirflow, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that Airflow refuses is not printed, and the message names the variable."""
    monkeypatch.setenv(TOKEN_VARIABLE, "wrong-token")
    status, _, err = command()
    assert status == 1
    assert f"Set {TOKEN_VARIABLE} to a valid token" in err
    assert "wrong-token" not in err


@pytest.mark.parametrize("token", ["t\u00f6ken", "a b", "a\nb"])
def test_unusable_token(airflow: FakeAirflow, command: Command, monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    """A token with characters that no token has is refused without being printed."""
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    status, _, err = command()
    assert status == 1
    assert TOKEN_VARIABLE in err
    assert token not in err


def test_token_of_a_file(airflow: FakeAirflow, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line break at the end of a token that was read from a file does not matter."""
    monkeypatch.setenv(TOKEN_VARIABLE, f"{TOKEN}\n")
    assert command()[:2] == (0, "0 doubts\n")


def test_netrc(airflow: FakeAirflow, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials in ``~/.netrc`` do not replace the token."""
    (tmp_path / "netrc").write_text("default login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    # localhost.invalid does not resolve; the proxy that stands for it is the server itself.
    monkeypatch.setenv("http_proxy", airflow.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert command("--url", "http://airflow.invalid")[:2] == (0, "0 doubts\n")


def test_base_url(airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The address of the API server is Airflow's option by default; without the option, the message names --url."""
    from airflow_provider_whiterabbit.doubts.command import main

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{airflow.url}/")
    main([airflow.dag_id, airflow.run_id])
    assert capsys.readouterr().out == "0 doubts\n"
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    with pytest.raises(SystemExit):
        main([airflow.dag_id, airflow.run_id])
    assert "--url" in capsys.readouterr().err


def test_unknown_run(airflow: FakeAirflow, command: Command) -> None:
    """A DAG run that Airflow does not know is an error, not a run without doubts."""
    airflow.before = lambda method, path: 404 if path == "" else None
    status, _, err = command()
    assert status == 1
    assert "Airflow answered 404 to GET /api/v2/dags/pay.daily/dagRuns/manual__2026-11-24T10%3A00%3A00%2B00%3A00" in err


@pytest.mark.parametrize("version", ["3.2.2", "2.11.0"])
def test_old_airflow(airflow: FakeAirflow, command: Command, version: str) -> None:
    """An Airflow without a task state store is refused."""
    airflow.version = version
    status, _, err = command()
    assert status == 1
    assert f"is an Airflow {version}. This command needs Airflow 3.3 or newer" in err


@pytest.mark.parametrize("url", ["airflow.example", "ftp://airflow.example", "http://", "http://[::1"])
def test_wrong_url(command: Command, url: str) -> None:
    """An address that is not an http(s) URL is named."""
    status, _, err = command("--url", url)
    assert status == 1
    assert url in err


def test_unreachable(command: Command) -> None:
    """If nothing answers, the message names the address and the option."""
    status, _, err = command("--url", "http://127.0.0.1:9")
    assert status == 1
    assert "http://127.0.0.1:9/" in err
    assert "failed: ConnectionRefusedError: [Errno" in err
    assert "--url" in err


@pytest.mark.parametrize(("status", "message"), [(200, "not JSON"), (302, "https://other.example/login")])
def test_other_server(command: Command, monkeypatch: pytest.MonkeyPatch, status: int, message: str) -> None:
    """A page that is not Airflow's API, or a redirect, is not followed, and the message names --url."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "https://other.example/login")
            self.end_headers()
            self.wfile.write(b"<html>" if status == 200 else b"")

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        exit_status, _, err = command("--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert exit_status == 1
    assert message in err
    assert "--url" in err
