"""Memory from /proc and from the control groups, in a made-up root."""

from __future__ import annotations

import pytest

from mapsort.engines.resources import available_memory

GIB = 2**30


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 33554432 kB\nMemAvailable: 8388608 kB\n")
    return tmp_path


def write(root, name, **values):
    directory = root / "sys/fs/cgroup" / name
    directory.mkdir(parents=True)
    for key, value in values.items():
        (directory / key.replace("__", ".")).write_text(f"{value}\n")


def test_without_groups_it_is_what_the_system_says(root):
    assert available_memory(root=root) == 8 * GIB


@pytest.mark.parametrize(("limit", "expected"), [(3 * GIB, 2 * GIB), ("max", 8 * GIB), (1, 0)])
def test_version_2_limits_count_what_is_used(root, limit, expected):
    (root / "proc/self/cgroup").write_text("0::/job\n")
    write(root, "job", memory__max=limit, memory__current=GIB)
    assert available_memory(root=root) == expected


def test_a_limit_of_a_parent_group_binds(root):
    (root / "proc/self/cgroup").write_text("0::/job/step\n")
    write(root, "job/step", memory__max="max", memory__current=0)
    (root / "sys/fs/cgroup/job/memory.max").write_text(f"{4 * GIB}")
    (root / "sys/fs/cgroup/job/memory.current").write_text("0")
    assert available_memory(root=root) == 4 * GIB


@pytest.mark.parametrize(
    ("limit", "expected"), [(5 * GIB, 4 * GIB), (9223372036854771712, 8 * GIB)]
)
def test_version_1_limits(root, limit, expected):
    (root / "proc/self/cgroup").write_text("4:memory:/job\n3:cpu,cpuacct:/job\n")
    write(root, "memory/job", memory__limit_in_bytes=limit, memory__usage_in_bytes=GIB)
    assert available_memory(root=root) == expected


def test_without_proc_it_is_what_is_installed(tmp_path):
    assert available_memory(root=tmp_path) > 0


def test_of_this_machine():
    assert 0 < available_memory() < 2**50
