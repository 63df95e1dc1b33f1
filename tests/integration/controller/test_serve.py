"""``matic-controller`` as processes: one for all, one for each part, killed and started again."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.inbox import LEASE_KEY
from controller.store.store import Store
from deploy.local.embedded_redis import RedisServer
from deploy.local.waiting import wait_until
from shared.celery_app import redis_client
from shared.proto import fleet_pb2 as pb
from tests.support.controller_site import Node, Site, create_rollout, finish


@pytest.fixture
def site(tmp_path: Path, database: str, redis_url: str) -> Iterator[Site]:
    """Settings for a controller on an empty database; nothing runs yet."""
    made = Site(tmp_path, database, redis_url)
    yield made
    made.stop()


def _migrate(site: Site) -> None:
    store = Store(site.database_url)
    store.migrate()
    store.close()


def _nodes(site: Site, *names: str) -> list[Node]:
    nodes = [Node(site, name) for name in names]
    with site.api() as api:
        for node in nodes:
            node.register(api)
    return nodes


def test_one_process_carries_a_rollout_from_the_call_to_its_end(site: Site) -> None:
    _migrate(site)
    site.start("serve")
    site.wait_for_api()
    nodes = _nodes(site, "n0", "n1", "n2")

    with site.api() as api:
        rollout = finish(api, create_rollout(api), nodes)

    assert {target.state for target in rollout.targets} == {"succeeded"}
    assert [len(node.taken) for node in nodes] == [1, 1, 1]


def test_each_part_alone_does_the_same_together(site: Site) -> None:
    _migrate(site)
    for part in ("api", "engine", "worker", "ingest"):
        site.start(part)
    site.wait_for_api()
    nodes = _nodes(site, "n0", "n1")

    with site.api() as api:
        rollout = finish(api, create_rollout(api), nodes)

    assert [wave.state for wave in rollout.waves] == ["done", "done"]
    assert [len(node.taken) for node in nodes] == [1, 1]


def test_two_engines_and_two_workers_share_the_work_without_doing_it_twice(site: Site) -> None:
    _migrate(site)
    parts = ("api", "engine", "engine", "worker", "worker", "ingest", "ingest")
    services = [site.start(part) for part in parts]
    site.wait_for_api()
    nodes = _nodes(site, *(f"n{number}" for number in range(25)))

    with site.api() as api:
        for version in ("2.0.0", "3.0.0"):
            finish(api, create_rollout(api, version), nodes)

    assert {len(node.taken) for node in nodes} == {2}
    for service in services:
        service.stop()
        assert "step failed" not in service.log.read_text()


def test_a_controller_killed_in_the_middle_goes_on_after_its_restart(site: Site) -> None:
    _migrate(site)
    service = site.start("serve")
    site.wait_for_api()
    nodes = _nodes(site, "n0", "n1", "n2")
    with site.api() as api:
        rollout_id = create_rollout(api)
    wait_until(lambda: any(node.work() for node in nodes), "the first wave's order")

    service.kill()
    service.start()
    site.wait_for_api()

    with site.api() as api:
        rollout = finish(api, rollout_id, nodes)
    assert {target.state for target in rollout.targets} == {"succeeded"}
    assert sorted(len({order.id for order in node.taken}) for node in nodes) == [1, 1, 1]


def test_an_emptied_redis_only_delays_a_rollout(site: Site, redis_server: RedisServer) -> None:
    _migrate(site)
    site.start("serve")
    site.wait_for_api()
    nodes = _nodes(site, "n0", "n1")
    redis = redis_client(site.redis_url)
    with site.api() as api:
        rollout_id = create_rollout(api)
        wait_until(lambda: bool(redis.keys("node:*")), "an order to be queued")

        redis_server.kill()
        redis_server.start()

        rollout = finish(api, rollout_id, nodes)
    assert {target.state for target in rollout.targets} == {"succeeded"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_it_in_good_order(site: Site, number: signal.Signals) -> None:
    _migrate(site)
    service = site.start("serve")
    site.wait_for_api()
    redis = redis_client(site.redis_url)
    wait_until(lambda: bool(redis.exists(LEASE_KEY)), "the ingest lease")
    assert service.process is not None

    service.process.send_signal(number)

    assert service.process.wait(timeout=20) == 0
    assert not redis.exists(LEASE_KEY)
    assert "controller ended" in service.last_words()


def test_metrics_count_what_has_happened(site: Site) -> None:
    site.configure(metrics_port=site.metrics_port)
    _migrate(site)
    site.start("serve")
    site.wait_for_api()
    nodes = _nodes(site, "n0")
    with site.api() as api:
        finish(api, create_rollout(api), nodes)

    with urllib.request.urlopen(f"http://127.0.0.1:{site.metrics_port}/metrics") as answer:
        lines = answer.read().decode().splitlines()

    assert 'matic_orders_published_total{kind="update"} 1.0' in lines
    assert 'matic_events_ingested_total{kind="outcome"} 1.0' in lines


def test_version_says_which_database_it_is(site: Site) -> None:
    _migrate(site)
    site.start("api")
    site.wait_for_api()

    with site.api() as api:
        answer = api.GetVersion(pb.GetVersionRequest())

    assert site.database_url.startswith(answer.database)
