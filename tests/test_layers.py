"""The floors only point down, and what is heavy is imported where it is said to be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "edge_runtime": set(),
    "converter": {"edge_runtime"},
    "compress": {"converter", "edge_runtime"},
    "federated": {"edge_runtime"},
    "cloud": {"edge_runtime", "converter", "compress", "federated"},
}
# Third parties that only these files, or those of these folders, may name.
ONLY_IN = {
    "onnxruntime": ("edge_runtime/engines/onnx.py", "edge_runtime/engines/plugins.py"),
    "torch": ("converter/frontends/torch.py",),
    "ai_edge_litert": ("edge_runtime/engines/litert.py", "converter/lowering/flatbuffer.py"),
    "tflite_runtime": ("edge_runtime/engines/litert.py",),
    "flwr": ("federated/flower/",),
    "tuf": ("cloud/repository/", "edge_runtime/agent/trust.py"),
    "sqlalchemy": ("cloud/",),
    "alembic": ("cloud/database/",),
    "fastapi": ("cloud/api/",),
    "starlette": ("cloud/api/", "cloud/repository/http.py"),
    "fsspec": ("cloud/repository/",),
}
MODULES = sorted(file for package in MAY_IMPORT for file in (ROOT / package).rglob("*.py"))


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_module_imports_only_its_own_floor_and_those_below(file):
    package = file.relative_to(ROOT).parts[0]
    upward = imported(file) & (set(MAY_IMPORT) - MAY_IMPORT[package] - {package})
    assert not upward, f"{file}: {package} may not import {upward}"


@pytest.mark.parametrize("name", sorted(ONLY_IN))
def test_a_heavy_library_has_one_door(name):
    users = {str(file.relative_to(ROOT)) for file in MODULES if name in imported(file)}
    assert not [user for user in users if not user.startswith(ONLY_IN[name])]
    assert users, f"nobody imports {name}: is the rule still needed?"


@pytest.mark.parametrize("file", MODULES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_module_says_what_it_is_for_and_is_one_thing(file):
    text = file.read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{file}: the first line says what the module is for"
    assert text.count("\n") <= 400, f"{file}: is it one thing?"


def test_functions_fit_a_screen():
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"
        for file in MODULES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert not long


def test_what_a_device_loads_to_run_a_model_stays_small():
    code = """if True:
        import sys
        from edge_runtime import Bundle, Session, Trainer
        print(*(m.__file__ for n, m in sys.modules.items() if n.startswith("edge_runtime") and m.__file__))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    lines = sum(
        1
        for file in done.stdout.split()
        for line in Path(file).read_text("utf-8").splitlines()
        if line.strip() and not line.strip().startswith("#")
    )
    assert lines <= 3500, "what only some commands need should be imported by them"
