"""Every ``sh`` block of the documentation is run, in order, against a real fleet, and ends as it is documented.

A reader would put in addresses and ids of their own; so does this test. What cannot run on a test machine (apt,
systemd, a real disk) is fenced as ``console``.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.fleet import FleetPlan, LocalFleet
from tests.support.documents import PAGES, blocks, commands, name_of
from tests.support.fleets import small_fleet

GOOD, BAD = "2.0.0", "3.0.0"
SHOWN = [page for page in PAGES if blocks(page, "sh")]
API = next(page for page in PAGES if page.name == "health-and-rollback.md")

#: Shell functions that look up what the documentation shows an example of, and check every exit code.
PRELUDE = """
newest() {
    osctl "$1" list -o json | python -c 'import json, sys; print(next(iter(json.load(sys.stdin).values()))[0]["id"])'
}
ended() {
    [ "$1" -eq "$2" ] || { printf '\\nFAILED with exit code %d, documented is %d: %s\\n' "$1" "$2" "$3"; exit 1; }
}
"""


@dataclass(frozen=True)
class Site:
    """A fleet, and a folder laid out as the documentation has it."""

    fleet: LocalFleet
    folder: Path
    environment: dict[str, str]

    def run(self, script: str) -> str:
        """Run a script as a reader at a terminal would; return what it said."""
        done = subprocess.run(
            ["bash", "-u", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def settle(self) -> None:
        """Wait until every node answers, healthy: the page before may have left one in a reboot."""
        for address in self.fleet.node_addresses.values():
            asked = ("health", "--address", address, "--kind", "node", "--tls-dir", str(self.fleet.admin_tls))
            self.fleet.wait_until(lambda: self.fleet.try_osctl(*asked).returncode == 0, f"{address} to be well")  # noqa: B023 - called at once

    def put_in(self, text: str) -> str:
        """Replace what a reader would replace."""
        node = next(iter(self.fleet.node_addresses.values()))
        examples = {
            "localhost:50050": self.fleet.controller_address,
            "fleet.example:50050": self.fleet.controller_address,
            "localhost:50051": node,
            "sched-20260127-001": '"$(newest schedule)"',
            "rollout-20260127-001": '"$(newest rollout)"',
        }
        for example, real in examples.items():
            text = text.replace(example, real)
        return text


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with small_fleet(FleetPlan(nodes=3, slot_mib=8, payload_mib=1)) as fleet:
        folder = tmp_path_factory.mktemp("reader")
        (folder / "tls").symlink_to(fleet.folder / "ca")
        good, bad = fleet.build_release(GOOD), fleet.build_release(BAD, missing=("app.service",))
        node = fleet.folder / fleet.node_ids[0]
        environment = {
            **fleet.environment(),
            "OSCTL_CONFIG": str(folder / "osctl.json"),
            "MATIC_CONFIG": str(node / "agent.toml"),
            "MATIC_CONTROLLER_CONFIG": str(fleet.folder / "controller.toml"),
            "URL": fleet.source(good),
            "SHA256": good.sha256,
            "BAD_URL": fleet.source(bad),
            "BAD_SHA256": bad.sha256,
            "BAD_VERSION": BAD,
            "OTHER_SHA256": "0" * 64,
        }
        yield Site(fleet, folder, environment)


def script_of(site: Site, page: Path) -> str:
    """Return all blocks of a page as one script: what a block sets, the next one may use."""
    lines = [PRELUDE]
    for command in (command for block in blocks(page, "sh") for command in commands(block)):
        shown = shlex.quote(command.text)
        lines.append(f"printf '\\n$ %s\\n' {shown}\n{site.put_in(command.text)}\n")
        lines.append(f"ended $? {command.exit_code} {shown}\n")
    return "".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN, ids=name_of)
def test_every_command_of_a_page_ends_as_documented(site: Site, page: Path) -> None:
    site.settle()
    context = f"osctl context set %s --kind %s --address %s --tls-dir {site.fleet.admin_tls}"
    node = next(iter(site.fleet.node_addresses.values()))
    site.run(
        context % ("node-1", "node", node) + "\n" + context % ("fleet", "controller", site.fleet.controller_address)
    )
    site.run("osctl context use fleet")

    said = site.run(script_of(site, page))

    assert said.count("\n$ ") == sum(len(list(commands(block))) for block in blocks(page, "sh"))


@pytest.mark.slow
def test_the_python_example_does_what_it_says(site: Site) -> None:
    site.settle()
    (example,) = blocks(API, "python")
    (site.folder / "example.py").write_text(example)
    address = list(site.fleet.node_addresses.values())[1]
    command = shlex.join([sys.executable, "example.py", address, site.environment["URL"], site.environment["SHA256"]])

    said = site.run(command)

    assert "health: healthy" in said
    assert "update: Completed" in said


@pytest.mark.slow
def test_the_python_example_tells_a_wrong_address_from_a_refusal(site: Site) -> None:
    (example,) = blocks(API, "python")
    (site.folder / "example.py").write_text(example)
    address = list(site.fleet.node_addresses.values())[1]
    nobody = f"{shlex.quote(sys.executable)} example.py localhost:1 http://localhost/ {'0' * 64} 2>&1"
    refused = f"{shlex.quote(sys.executable)} example.py {address} nonsense {'0' * 64} 2>&1"

    unreachable = site.run(f"{nobody} || true")
    invalid = site.run(f"{refused} || true")

    assert "nothing listens there" in unreachable
    assert "InputError" in invalid


def test_no_page_hides_its_commands_from_this_test() -> None:
    console = [line for page in PAGES for block in blocks(page, "console") for line in block.splitlines()]

    ours = [line for line in console if "osctl " in line and "./osctl demo" not in line]
    assert len(SHOWN) >= 4
    assert ours == []
