"""The NPU vendors' toolkits and providers that do not live beside the rest: what the environment of each holds."""

from pathlib import Path

from benchmarks.peers.environment import interpreter

_RUNTIME = ("flatbuffers==25.12.19", "protobuf==6.33.1", "packaging==26.3")
PACKAGES: dict[str, tuple[str, ...]] = {
    # 1.5 GB; the toolkit's own pins name a PyTorch with CUDA, of which it uses the CPU's part
    "rknn": (
        *("rknn-toolkit2==2.5.0", "torch==2.13.0", "numpy==1.26.4", "onnx==1.18.0", "onnxruntime==1.23.2"),
        *("protobuf==4.25.4", "scipy==1.13.1", "opencv-python-headless==4.10.0.84", "fast-histogram==0.14"),
        *("psutil==7.2.2", "ruamel.yaml==0.19.1", "tqdm==4.70.1", "sympy==1.14.0", "mpmath==1.3.0"),
        *("networkx==3.6.1", "jinja2==3.1.6", "markupsafe==3.0.4", "fsspec==2026.9.0", "filelock==4.2.11"),
        *("typing-extensions==4.16.0", "setuptools==80.9.0", "flatbuffers==25.12.19", "packaging==26.3"),
        *("coloredlogs==15.0.1", "humanfriendly==10.0"),
    ),
    # Built for NumPy 1; it takes the place of onnxruntime
    "cann": ("onnxruntime-cann==1.24.4", "numpy==1.26.4", "sympy==1.14.0", "mpmath==1.3.0", *_RUNTIME),
    "openvino": ("onnxruntime-ep-openvino==1.8.1", "onnxruntime==1.31.1", "numpy==2.4.6", *_RUNTIME),
    # The older wheel has OpenVINO built in, and runs on any processor
    "openvino-cpu": (
        *("onnxruntime-openvino==1.24.1", "numpy==2.4.6", "sympy==1.14.0", "mpmath==1.3.0"),
        *_RUNTIME,
    ),
    "nxrt": ("nxrt-ep-cpu==0.1.0.dev6", "onnxruntime==1.31.1", "numpy==2.4.6", *_RUNTIME),
}


def python(name: str) -> Path:
    """The Python of a toolkit's environment, made in the cache on first use.

    Raises:
        InstallError: the packages cannot be installed.
    """
    return interpreter(f"npu-{name}", PACKAGES[name])
