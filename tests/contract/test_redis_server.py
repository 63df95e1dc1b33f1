"""What the fault tests rely on: the private server keeps its address, dies for real, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from deploy.local.embedded_redis import RedisServer
from shared.errors import TransportError

ROOT = Path(__file__).parents[2]


def test_server_answers_and_keeps_nothing_on_disk_by_default(redis_server: RedisServer) -> None:
    client = redis_server.client()

    with client:
        client.set("k", "v")
        settings = client.config_get("save", "appendonly")

    assert settings == {"save": "", "appendonly": "no"}
    redis_server.stop()
    redis_server.start()
    with redis_server.client() as client:
        assert client.get("k") is None


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_server_comes_back_on_the_same_address(tcp: bool, end: str) -> None:  # noqa: FBT001 - a test parameter
    with RedisServer(tcp=tcp, args=["--appendonly", "yes", "--appendfsync", "always"]) as server:
        url = server.url
        with server.client() as client:
            client.set("k", "v")

        getattr(server, end)()
        with server.client() as client, pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()

        assert server.url == url
        with server.client() as client:
            assert client.get("k") == b"v"


def test_close_leaves_neither_process_nor_folder() -> None:
    with RedisServer() as server:
        pid, folder = server.pid, server.folder

    assert not psutil.pid_exists(pid)
    assert not folder.exists()


def test_server_ends_when_its_owner_is_killed(tmp_path: Path) -> None:
    program = "import sys; from deploy.local.embedded_redis import RedisServer as R; import pathlib\n"
    program += "server = R(pathlib.Path(sys.argv[1])).start(); print(server.pid, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        server = psutil.Process(int(owner.stdout.readline()))

        owner.kill()

        psutil.wait_procs([server], timeout=30)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_given_folder_stays(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "r", tcp=True):
        pass

    assert (tmp_path / "r" / "redis.log").exists()


def test_failed_start_says_what_the_server_said() -> None:
    server = RedisServer(args=["--no-such-setting", "1"])

    with pytest.raises(TransportError, match="no-such-setting"):
        server.start()

    server.close()
