"""The values for Airflow's Helm chart and the image on `docs/deployment.md` fit Airflow and this provider."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any

import pytest
import yaml
from airflow.configuration import conf

from airflow_provider_whiterabbit.get_provider_info import CONFIG
from tests.docs.pages import BLOCKS, Block

PAGE = [block for block in BLOCKS if block.page == "docs/deployment.md"]
VALUES = [block for block in PAGE if block.language == "yaml"]
AIRFLOW = version("apache-airflow")


def values_of(title: str) -> dict[str, Any]:
    """Return the values in one of the page's files."""
    (text,) = [block.text for block in VALUES if block.title == title]
    values: dict[str, Any] = yaml.safe_load(text)
    return values


@pytest.mark.parametrize("block", VALUES, ids=str)
def test_configuration(block: Block) -> None:
    """Each option below `config` is one of Airflow or of this provider."""
    for section, options in yaml.safe_load(block.text)["config"].items():
        known = CONFIG["options"] if section == "whiterabbit" else conf.configuration_description[section]["options"]
        assert options.keys() <= known.keys()


def test_secret() -> None:
    """The chart takes the connection from the secret that the command creates."""
    (secret,) = values_of("values.yaml")["secret"]
    (command,) = [block.text for block in PAGE if "kubectl create secret" in block.text]
    assert f"generic {secret['secretName']} --from-file={secret['secretKey']}=" in command
    assert secret["envName"] == "AIRFLOW_CONN_WHITERABBIT_DEFAULT"


def test_image() -> None:
    """The image has this version of Airflow, with its constraints, and the chart uses the image."""
    (image,) = [block.text for block in PAGE if block.language == "dockerfile"]
    assert set(re.findall(r"\d+\.\d+\.\d+", image)) == {AIRFLOW}
    assert set(re.findall(r"-(?:python)?(3\.\d+)(?=\n|\.txt)", image)) == {"3.12"}
    values = values_of("values.yaml")
    assert values["airflowVersion"] == AIRFLOW
    assert values["images"]["airflow"]["tag"].startswith(f"{AIRFLOW}-")


def test_files() -> None:
    """The limit of open files is enough for the capacity of a triggerer that takes over the waits of another one."""
    values = values_of("values.yaml")
    (limit,) = re.findall(r"ulimit -n (\d+)", " ".join(values["triggerer"]["args"]))
    assert int(limit) > 2 * values["config"]["triggerer"]["capacity"] + 1000
