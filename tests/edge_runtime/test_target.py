"""Targets: the built-in ones load, and a mistake in a file is named."""

import pytest

from edge_runtime import Target
from edge_runtime.errors import TargetError
from edge_runtime.target import target_names


def test_the_known_targets():
    assert {"rpi3", "rpi4", "rpi5", "android-arm64", "x86-64"} <= set(target_names())


@pytest.mark.parametrize("name", target_names())
def test_each_loads_under_its_name(name):
    target = Target.load(name)
    assert target.name == name
    assert target.summary
    assert Target.load(target) is target


def test_dot_product_devices_take_signed_activations():
    for name in target_names():
        target = Target.load(name)
        if not target.accelerators:  # an NPU's compiler has a wish of its own
            assert (target.activation == "int8") == ("dotprod" in target.features)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = ", "not valid TOML"),
        ('name = "mine"', "missing summary, arch, cores, ram_mib"),
        ('name="a"\nsummary="s"\narch="aarch64"\ncores=1\nram_mib=1\ncore=2', "did you mean 'cores'"),
        ('name="a"\nsummary="s"\narch="arm"\ncores=1\nram_mib=1', "expected aarch64, x86_64 or armv8.1-m"),
        (
            'name="a"\nsummary="s"\narch="aarch64"\ncores=1\nram_mib=1\nactivation="int4"',
            "expected uint8 or int8",
        ),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path, text, sentence):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(TargetError, match=sentence):
        Target.load(str(tmp_path / "mine.toml"))


def test_unknown_names_get_the_nearest():
    with pytest.raises(TargetError, match="did you mean 'rpi5'"):
        Target.load("rpi-5")
    with pytest.raises(TargetError, match="no such file"):
        Target.load("mine.toml")
