"""How many threads are used: environment, affinity, cgroup quota."""

from __future__ import annotations

import os

import pytest

from mapsort.engines.resources import available_threads
from mapsort.errors import ConfigError


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_affinity_alone(tmp_path):
    assert available_threads(environ={}, root=tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("300000 100000", 3), ("250000 100000", 2), ("10000 100000", 1)],
)
def test_quota_of_cgroup_v2(tmp_path, quota, expected):
    write(tmp_path / "proc/self/cgroup", "0::/jobs/42\n")
    write(tmp_path / "sys/fs/cgroup/jobs/42/cpu.max", quota + "\n")
    assert available_threads(environ={}, root=tmp_path) == expected


def test_a_quota_of_a_parent_binds_too(tmp_path):
    write(tmp_path / "proc/self/cgroup", "0::/jobs/42\n")
    write(tmp_path / "sys/fs/cgroup/jobs/42/cpu.max", "600000 100000\n")
    write(tmp_path / "sys/fs/cgroup/jobs/cpu.max", "200000 100000\n")
    assert available_threads(environ={}, root=tmp_path) == 2


def test_a_container_sees_its_own_group_at_the_mount(tmp_path):
    write(tmp_path / "proc/self/cgroup", "0::/host/path/not/visible\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "200000 100000\n")
    assert available_threads(environ={}, root=tmp_path) == 2


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("400000", 4)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_quota_of_cgroup_v1(tmp_path, quota, expected, controllers):
    write(tmp_path / "proc/self/cgroup", f"4:memory:/a\n3:{controllers}:/a\n")
    write(tmp_path / f"sys/fs/cgroup/{controllers}/a/cpu.cfs_quota_us", quota)
    write(tmp_path / f"sys/fs/cgroup/{controllers}/a/cpu.cfs_period_us", "100000")
    assert available_threads(environ={}, root=tmp_path) == expected


@pytest.mark.parametrize(("value", "expected"), [("12", 12), ("3,2", 3), (" 1 ", 1)])
def test_the_environment_wins(tmp_path, value, expected):
    assert available_threads(environ={"OMP_NUM_THREADS": value}, root=tmp_path) == expected


@pytest.mark.parametrize("value", ["0", "-2", "many", "²"])
def test_a_bad_environment_is_named(tmp_path, value):
    with pytest.raises(ConfigError, match="OMP_NUM_THREADS"):
        available_threads(environ={"OMP_NUM_THREADS": value}, root=tmp_path)


def test_this_machine():
    assert 1 <= available_threads(environ={}) <= 8
