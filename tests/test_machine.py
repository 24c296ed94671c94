"""What a process may use: limits of a job count, whichever version of cgroups sets them."""

import pytest

from subgrid import machine
from subgrid.data import fits_in_memory

GIB = 2**30


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A machine with 8 of 16 GiB free; its files are written by the tests."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: {16 * GIB // 1024} kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    for name, path in (
        ("_MEMINFO", meminfo),
        ("_CGROUPS", tmp_path / "groups"),
        ("_OWN_CGROUP", tmp_path / "own"),
        ("_CPUINFO", tmp_path / "cpuinfo"),
    ):
        monkeypatch.setattr(machine, name, path)
    monkeypatch.setattr(machine, "_of_machine", lambda: 16.0 * GIB)
    return tmp_path


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_a_limit_the_machine_tells(made_up):
    assert (machine.free_memory(), machine.memory()) == (8 * GIB, 16 * GIB)
    write(made_up, own="0::/job")
    write(made_up / "groups" / "job", memory__max="max", memory__current=GIB)
    assert (machine.free_memory(), machine.memory()) == (8 * GIB, 16 * GIB)


def test_a_limit_of_version_2_counts_with_those_above_it(made_up):
    write(made_up, own="0::/job/step")
    write(made_up / "groups" / "job" / "step", memory__max=6 * GIB, memory__current=GIB)
    assert (machine.free_memory(), machine.memory()) == (5 * GIB, 6 * GIB)
    write(
        made_up / "groups" / "job",
        memory__max=4 * GIB,
        memory__current=3 * GIB,
        memory__stat=f"anon 1\ninactive_file {GIB}",
    )
    # files that are only kept in memory make room
    assert (machine.free_memory(), machine.memory()) == (2 * GIB, 4 * GIB)
    assert fits_in_memory(GIB - 1)
    assert not fits_in_memory(GIB)


def test_a_limit_of_version_1_counts(made_up):
    write(made_up, own="4:memory:/job\n2:cpu,cpuacct:/job\n0::/")
    root = made_up / "groups" / "memory"
    write(root, memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=9 * GIB)
    assert machine.free_memory() == 8 * GIB
    write(root / "job", memory__limit_in_bytes=3 * GIB, memory__usage_in_bytes=GIB)
    assert (machine.free_memory(), machine.memory()) == (2 * GIB, 3 * GIB)


def test_in_a_container_the_limit_stands_at_the_root(made_up):
    """Where the path is that of the host, of which the container sees nothing."""
    write(made_up, own="0::/docker/0123abc")
    write(made_up / "groups", memory__max=2 * GIB, memory__current=GIB)
    assert (machine.free_memory(), machine.memory()) == (GIB, 2 * GIB)


def test_a_processor_is_told_by_model_and_instruction_sets(made_up):
    core = "processor : 0\nmodel name : Big Iron\nflags : fpu sse4_2 avx avx2 avx512f fma\n"
    write(made_up, cpuinfo=f"{core}\n{core}")
    assert machine.processor() == "Big Iron (avx avx2 avx512f fma sse4_2)"
