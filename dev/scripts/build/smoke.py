"""Test the installed wheel: ``python -I smoke.py wheel`` without the extra, ``python -I smoke.py emulator`` with it.

The interpreter runs in an environment that cannot import from the source tree.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

PACKAGE = "airflow_provider_whiterabbit"
EXTRA = f"{PACKAGE}.emulator"
NEED_OTHER_EXTRAS = (f"{PACKAGE}.client.transport.http2", f"{PACKAGE}.observing.facets")

DAG_FILE = """
from airflow.sdk import DAG

from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

with DAG("smoke", schedule=None) as dag:
    submit = WhiteRabbitExecuteComponentOperator(task_id="submit", module="SLOW", wait_for_completion=False)
    WhiteRabbitExecutionSensor(task_id="wait", execution_id=submit.output, deferrable=True, timeout=60)

if __name__ == "__main__":
    run = dag.test()
    ti = run.get_task_instance("wait")
    raise SystemExit(0 if run.state == "success" and ti.xcom_pull(task_ids="wait") == {"a": 1} else f"{run.state}")
"""


def check(holds: bool, statement: str) -> None:
    """Print the statement if it holds.

    :raises SystemExit: if the statement does not hold.
    """
    if not holds:
        raise SystemExit(f"Check failed: {statement}")
    print(f"  {statement}", flush=True)


def wheel() -> None:
    """Check, without the extra, that the wheel is complete and Airflow finds the provider."""
    package = importlib.import_module(PACKAGE)
    here = Path(str(package.__file__)).parent
    check("site-packages" in here.parts, "the package is imported from the environment")
    check(metadata.version("airflow-provider-whiterabbit") == package.__version__, f"version {package.__version__}")
    check((here / "py.typed").exists(), "the wheel contains the type marker py.typed")
    tops = {file.parts[0] for file in metadata.files("airflow-provider-whiterabbit") or []}
    unexpected = {top for top in tops if top not in (PACKAGE, "..") and not top.endswith(".dist-info")}
    check(not unexpected, "the wheel installs nothing else at the top level")

    names = [module.name for module in pkgutil.walk_packages([str(here)], f"{PACKAGE}.", onerror=lambda _: None)]
    names = [name for name in names if not name.startswith((EXTRA, *NEED_OTHER_EXTRAS))]
    for name in names:
        importlib.import_module(name)
    check(len(names) > 40, f"all {len(names)} modules can be imported")
    try:
        importlib.import_module(EXTRA)
    except ModuleNotFoundError as error:
        check("[emulator]" in str(error), "importing the emulator without its extra names the extra")
    _check_discovery()


def _check_discovery() -> None:
    from airflow.providers_manager import ProvidersManager

    warnings.filterwarnings("ignore", message="ProvidersManager.hooks is deprecated")  # the new API needs Airflow 3.2
    manager = ProvidersManager()  # type: ignore[no-untyped-call]
    check("airflow-provider-whiterabbit" in manager.providers, "Airflow finds the provider")
    hook = manager.hooks["whiterabbit"]
    check(hook is not None and hook.hook_class_name.endswith(".WhiteRabbitHook"), "Airflow finds the connection type")


def emulator() -> None:
    """Check, with the extra, that the hook reaches the emulator and that a DAG runs."""
    from airflow_provider_whiterabbit.emulator import Emulator
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

    home = Path(os.environ["AIRFLOW_HOME"])
    file = home / "dags" / "smoke.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(DAG_FILE)
    with Emulator(components=["SLOW"]) as wr:
        os.environ.update(wr.environ)
        works, message = WhiteRabbitHook().test_connection()
        check(works, f"the hook connects: {message}")
        wr.script("SLOW", output={"a": 1}, after=0.5)
        with (home / "log.txt").open("w") as log:
            migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
            for command in (migrate, [sys.executable, str(file)]):
                exit_code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
                if exit_code:
                    print((home / "log.txt").read_text()[-10_000:], file=sys.stderr)
                check(exit_code == 0, f"{'airflow db migrate' if command is migrate else 'dag.test()'} succeeds")
        check(len(wr.requests(kind="submit")) == 1, "the DAG submits once, and its sensor returns the output")


if __name__ == "__main__":
    {"wheel": wheel, "emulator": emulator}[sys.argv[1]]()
