"""`Reset`: whether the endpoint has processed the request when the client receives the RST."""

from __future__ import annotations

import pytest
import requests

from airflow_provider_whiterabbit.emulator import effects


@pytest.mark.parametrize(("when", "executions"), [("request", 0), ("answer", 1)])
def test_reset_of_a_submission(wr, client, when, executions):
    """Before the request is processed, an RST leaves no execution; before the answer, it leaves one."""
    wr.fault(effects.Reset(when), kind="submit")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.submit()
    assert len(wr.executions) == executions
    assert wr.journal[0].status is None
