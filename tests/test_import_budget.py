"""What the device side costs to import: numpy and the standard library, nothing else."""

import subprocess
import sys

HEAVY = ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "flwr", "matplotlib", "PIL", "rich")
CODE = """
import sys, numpy
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
import edge_runtime.__main__
from edge_runtime import Bundle, Session, Trainer
after = peak()
print(after, after - before, *[name for name in {heavy} if name in sys.modules])
"""


def test_edge_runtime_imports_numpy_alone():
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY)], capture_output=True, text=True, check=True
    )
    total, added, *heavy = done.stdout.split()
    assert not heavy
    assert int(added) < 16 * 1024, "kilobytes beyond numpy"
    assert int(total) < 60 * 1024
