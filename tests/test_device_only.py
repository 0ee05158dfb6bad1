"""The trainer needs nothing but NumPy and onnxruntime: it runs where nothing else can be found."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import edge_runtime
from converter.trainable import pack_trainable
from tests.edge_runtime.test_trainer import lenet

DEVICE = """
import sys
sys.path[:] = [sys.argv[1], *(entry for entry in sys.path if "site-packages" not in entry)]
import numpy as np
from edge_runtime import Samples, Session, Trainer
for absent in ("onnx", "torch", "converter", "PIL", "flwr", "google.protobuf"):
    try:
        __import__(absent)
    except ImportError:
        continue
    sys.exit(f"{absent} should not be here")
rng = np.random.default_rng(0)
samples = Samples(rng.standard_normal((40, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 40))
trainer = Trainer(sys.argv[2], threads=1)
before = trainer.evaluate(samples)["loss"]
trainer.fit(samples, epochs=5, batch_size=10, lr=0.01, checkpoint=sys.argv[3] + "/c", validation=samples, patience=3)
trainer.restore(sys.argv[3] + "/c")
assert trainer.evaluate(samples)["loss"] < before
exported = trainer.export(sys.argv[3] + "/out.bundle")
Session(exported).run({"x": samples.x})
allowed = set(sys.stdlib_module_names) | {"numpy", "onnxruntime", "edge_runtime", "__main__"}
print(sorted({name.partition(".")[0] for name in sys.modules} - allowed))
"""


def test_training_with_numpy_and_onnxruntime_alone(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("numpy", "onnxruntime"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        (packages / name).symlink_to(folder)
        if (libraries := folder.parent / f"{name}.libs").exists():
            (packages / libraries.name).symlink_to(libraries)
    (packages / "edge_runtime").symlink_to(Path(edge_runtime.__file__).parent)
    bundle = pack_trainable(lenet(), tmp_path / "m.bundle", name="m", momentum=0.9, micro_batch=4)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", DEVICE, packages, bundle.path, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    ours = [name for name in ast.literal_eval(ran.stdout) if not name.startswith(("_", "cython"))]
    assert ours == []
