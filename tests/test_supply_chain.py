"""Nothing is installed without a pinned hash, and no workflow runs an action that its owner can replace."""

from __future__ import annotations

import ast
import re
import subprocess

import pytest
import yaml

from tests.docs.pages import ROOT

FILES = sorted((ROOT / "constraints").glob("*.txt"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ENVIRONMENTS = ("", "-audit", "-bench", "-build", "-cluster", "-docs", "-matrix")
PIN = re.compile(r"[a-z0-9-]+==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+\n")


def test_each_pin_has_a_hash() -> None:
    """Each entry of the constraints files is one version with at least one hash."""
    assert {file.stem for file in FILES} >= {"uv", "lowest", "airflow-3.3"}
    for file in FILES:
        rest = PIN.sub("", file.read_text())
        assert not rest, f"{file.name}: {rest[:200]}"


def commands() -> list[str]:
    """Return the commands with which make creates all virtual environments, without running them."""
    targets = [f".venv{name}/.ready" for name in ENVIRONMENTS]
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", *targets], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.replace("\\\n", " ").splitlines()


def test_the_makefile_requires_hashes() -> None:
    """Make installs only what has a hash: uv itself, the packages of each environment, and what builds this package."""
    installs = [command for command in commands() if "pip install" in command]
    this = [command for command in installs if "--editable" in command]
    pinned = [command for command in installs if command not in this]
    assert len(this) == 3  # .venv, .venv-bench and .venv-cluster
    assert len(pinned) == 1 + len(ENVIRONMENTS)
    for command in pinned:
        assert "--require-hashes" in command.split()
        assert re.search(r"--requirements? constraints/[\w.-]+\.txt$", command)
    for command in this:
        assert "--no-deps" in command.split()
    for command in installs:
        assert ("-m pip" in command and "--only-binary :all:" in command) or "--require-build-hashes" in command


def test_nothing_else_in_the_makefile_installs() -> None:
    """The rules of the virtual environments are the only ones that install; the scripts install what users would."""
    text = (ROOT / "Makefile").read_text()
    assert len(re.findall(r"\bpip install\b", text)) == 3  # INSTALL, INSTALL_THIS and the first uv
    assert not re.findall(r"\b(uvx|pipx|uv run|uv tool|easy_install)\b", text)


def test_nox_requires_hashes() -> None:
    """Each installation of a nox session requires hashes, but that of the package itself, which has no dependencies."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    installs = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("session.install", "session.run_install")
    ]
    assert installs
    for call in installs:
        assert "*PINNED_BUILDS" in call
        assert "'--require-hashes'" in call or ("'--no-deps'" in call and call.count("'--editable', '.'") == 1)
    assert "--require-build-hashes" in (ROOT / "noxfile.py").read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned(path) -> None:
    """Each action is pinned to a commit, with its version in a comment."""
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_one_pin_for_each_action() -> None:
    """All workflows use the same commit of an action."""
    uses = {use for path in WORKFLOWS for use in re.findall(r"uses: (.*)", path.read_text())}
    names = [use.partition("@")[0] for use in uses]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_permissions(path) -> None:
    """No job has a permission by default; a job that may write checks nothing out and installs nothing."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        if job["permissions"] == {"contents": "read"}:
            continue
        used = [step.get("uses", "") for step in job["steps"]]
        commands = "\n".join(step.get("run", "") for step in job["steps"])
        assert not [use for use in used if use.startswith("actions/checkout")], name
        assert not re.findall(r"\b(make|pip|python|uv)\b", commands), name


def test_the_release_is_what_was_built() -> None:
    """The jobs that publish download by id what the job `build` uploaded; that job installs no development tools."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    downloads = [
        step["with"]
        for job in jobs.values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/download-artifact")
    ]
    assert len(downloads) == 4
    assert all(options["artifact-ids"].startswith("${{ needs.build.outputs.") for options in downloads)
    assert all("name" not in options for options in downloads)
    made = [step["run"] for step in jobs["build"]["steps"] if step.get("run", "").startswith("make")]
    assert made == ["make dist"]
    assert {"check", "build", "check-dist"} <= set(jobs["publish"]["needs"])
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
