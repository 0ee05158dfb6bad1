"""A device needs NumPy, onnxruntime and paho-mqtt: nothing else is there when it runs."""

import subprocess
import sys

CODE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("flwr", "matplotlib", "onnx", "torch", "ray", "converter", "PIL", "cryptography"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
from federated import cli
from federated.device.client import Device
from federated.link.peer import Peer
import paho.mqtt.client, onnxruntime
known = set(sys.stdlib_module_names) | {"numpy", "onnxruntime", "paho", "edge_runtime", "federated", "__main__"}
found = sorted({name.partition(".")[0] for name in sys.modules} - known)
print([name for name in found if not name.startswith(("_", "cython", "google", "base", "sitecustomize"))])
"""


def test_what_a_device_imports():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
