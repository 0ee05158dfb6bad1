"""The accelerators that are known, and those that a target names: what opens them and what they need."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.engines import plugins
from edge_runtime.errors import BackendError, TargetError, hint


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a graph.

    A plug-in has a `library`, or a Python `module` whose function `locate` gives its path; without either, `provider`
    has to be built into onnxruntime. `options` go to the provider; a value ``module:function`` is called for. `device`
    is the kind of hardware ("NPU", "GPU") that the plug-in must report, or else what it does is a simulation;
    `install` is the line that brings it. `signs` are patterns of paths that exist where the hardware and its driver
    are. `compiler` names a module of this folder that writes the accelerator's own
    form, for which onnxruntime is not needed; then `options` are the compiler's, and `provider` may be empty.
    """

    label: str
    provider: str
    library: str = ""
    module: str = ""
    locate: str = "get_library_path"
    options: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    device: str = "NPU"
    install: str = ""
    compiler: str = ""
    signs: tuple[str, ...] = ()

    @property
    def plugin(self) -> bool:
        """Whether it comes as a library of its own."""
        return bool(self.library or self.module)

    def located(self) -> str:
        """The path of its library.

        Raises:
            BackendError: its package is missing.
        """
        return self.library or plugins.library_of(self.module, self.locate)

    def resolved(self) -> dict[str, str]:
        """Its options, with what packages know filled in.

        Raises:
            BackendError: a package is missing.
        """
        return {name: _value(text) for name, text in self.options.items()}


def _value(text: str) -> str:
    module, _, function = text.partition(":")
    calls = function.isidentifier() and module.replace(".", "_").isidentifier()
    return plugins.library_of(module, function) if calls else text


CPU = Candidate("cpu", plugins.CPU, device="CPU")

KNOWN: Mapping[str, Candidate] = {
    "qnn": Candidate(
        "Qualcomm HTP",
        "QNNExecutionProvider",
        module="onnxruntime_qnn",
        options={"backend_path": "onnxruntime_qnn:get_qnn_htp_path"},
        signs=("/dev/fastrpc-cdsp*", "/dev/adsprpc-smd"),
        install="pip install onnxruntime-qnn",
    ),
    "openvino": Candidate(
        "Intel NPU",
        "OpenVINOExecutionProvider",
        module="onnxruntime_ep_openvino",
        options={"device_type": "NPU"},
        signs=("/sys/bus/pci/drivers/intel_vpu/*:*",),
        install="pip install onnxruntime-ep-openvino",
    ),
    "cann": Candidate(
        "Huawei Ascend",
        "CANNExecutionProvider",
        options={"device_id": "0"},
        signs=("/dev/davinci[0-9]*",),
        install="pip install onnxruntime-cann, in the place of onnxruntime, beside CANN's own driver",
    ),
    "vitisai": Candidate(
        "AMD Vitis AI",
        "VitisAIExecutionProvider",
        signs=("/sys/bus/pci/drivers/amdxdna/*:*",),
        install="AMD's Ryzen AI installer",
    ),
    "coreml": Candidate(
        "Apple Neural Engine",
        "CoreMLExecutionProvider",
        signs=("/System/Library/Frameworks/CoreML.framework",),
        install="pip install onnxruntime, on macOS",
    ),
    "nnapi": Candidate(
        "Android NNAPI",
        "NnapiExecutionProvider",
        signs=("/system/lib64/libneuralnetworks.so",),
        install="onnxruntime's Android package",
    ),
    "rknpu": Candidate(
        "Rockchip NPU",
        "RknpuExecutionProvider",
        options={"platform": "rk3588"},
        signs=("/dev/rknpu", "/sys/module/rknpu"),
        install="an onnxruntime built with --use_rknpu, or rknn-toolkit-lite2",
        compiler="rknn",
    ),
    "ethos-u": Candidate(
        "Arm Ethos-U",
        "",
        options={"accelerator-config": "ethos-u55-128"},
        signs=("/dev/ethosu*",),
        install="a microcontroller with one runs what `littoral accelerate` compiles",
        compiler="vela",
    ),
    "xnnpack": Candidate(
        "XNNPACK", "XnnpackExecutionProvider", device="CPU", install="an onnxruntime built with --use_xnnpack"
    ),
    "acl": Candidate(
        "Arm Compute Library",
        "ACLExecutionProvider",
        device="CPU",
        install="an onnxruntime built with --use_acl",
    ),
}
"""Accelerators by the name that a target calls them by."""


def candidate(entry: Mapping[str, Any], where: str) -> Candidate:
    """A target's entry: a known `name` with other options, or one of its own by `provider` (and `library`, a plug-in).

    Raises:
        TargetError: the name is not known, or a field is.
    """
    fields = dict(entry)
    name = str(fields.pop("name", ""))
    base = KNOWN.get(name)
    if base is None and "provider" not in fields:
        raise TargetError(
            f"{where}: unknown accelerator '{name}'{hint(name, KNOWN)}; known: {', '.join(KNOWN)}, "
            "or give a provider, and a library if it is a plug-in"
        )
    unknown = set(fields) - {"label", "provider", "library", "options", "config", "device"}
    if unknown:
        raise TargetError(f"{where}: accelerator '{name}' has no field '{sorted(unknown)[0]}'")
    given = {
        key: {k: str(v) for k, v in value.items()} if isinstance(value, dict) else str(value)
        for key, value in fields.items()
    }
    if base is None:
        return Candidate(**({"label": name} | given))  # type: ignore[arg-type]
    kept = {attribute: getattr(base, attribute) for attribute in Candidate.__slots__}
    options = {**base.options, **given.pop("options", {})}  # type: ignore[dict-item]
    return Candidate(**(kept | given | {"options": options}))


def device_of(candidate: Candidate) -> Any:
    """The device of a plug-in: real hardware of the kind asked for if there is any, else what it simulates with.

    Raises:
        BackendError: the plug-in is missing or offers none.
    """
    try:
        found = plugins.devices(candidate.provider, candidate.located())
    except BackendError as error:
        raise BackendError(f"{error}; {candidate.install}" if candidate.install else str(error)) from error
    if not found:
        raise BackendError("its library was loaded but offers no device here")
    real = [device for device in found if device.device.type.name == candidate.device]
    return (real or found)[0]
