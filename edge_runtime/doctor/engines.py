"""What runs models here: engines, onnxruntime's providers and plug-ins, NPUs, and their compilers."""

import glob
import importlib.util

from edge_runtime.accelerators import rknn, vela
from edge_runtime.accelerators.candidates import KNOWN, Candidate
from edge_runtime.doctor.check import Check, version
from edge_runtime.engines import plugins
from edge_runtime.engines.onnx import load
from edge_runtime.errors import BackendError


def checks() -> list[Check]:
    """What there is to say about engines and NPUs."""
    return [*_engines(), *(_accelerator(each) for each in KNOWN.values()), *_compilers()]


def _engines() -> list[Check]:
    found = []
    for package, remedy in (
        ("numpy", "pip install littoral"),
        ("onnxruntime", "pip install 'littoral[device]'"),
        ("ai-edge-litert", "pip install 'littoral[litert]'"),
        ("pillow", "pip install 'littoral[images]'"),
    ):
        there = version(package)
        if not there and package == "ai-edge-litert" and version("tflite-runtime"):
            package, there = "tflite-runtime", version("tflite-runtime")
        found.append(Check("engines", package, there or "missing", "" if there else remedy))
    try:
        providers = ", ".join(
            name.removesuffix("ExecutionProvider") for name in load().get_available_providers()
        )
        found.append(Check("engines", "providers built in", providers))
    except BackendError as error:
        found.append(Check("engines", "providers built in", f"none: {error}"))
    return found


def present(candidate: Candidate) -> bool:
    """Whether the accelerator's hardware and its driver show themselves to the system."""
    return any(glob.glob(sign) for sign in candidate.signs)  # noqa: PTH207 - absolute patterns


def _accelerator(each: Candidate) -> Check:
    """Whether the hardware is here, and what would run on it; the remedy is for hardware that lies idle."""
    here = present(each)
    hardware = "found" if here else "none found" if each.signs else ""
    try:
        state = _provider(each)
        remedy = ""
    except BackendError as error:
        state, remedy = str(error).partition(";")[0], each.install if here else ""
    return Check("accelerators", each.label, "; ".join(filter(None, (hardware, state))), remedy)


def _provider(each: Candidate) -> str:
    """What opens the accelerator, in words.

    Raises:
        BackendError: nothing does.
    """
    if each.plugin:
        kinds = {device.device.type.name for device in plugins.devices(each.provider, each.located())}
        package = f"{each.module.replace('_', '-')} {version(each.module.replace('_', '-'))}".strip()
        if not kinds:
            raise BackendError(f"{package} offers no device")
        return package if each.device in kinds else f"{package} simulates it"
    if each.provider and each.provider in load().get_available_providers():
        return "built into onnxruntime"
    raise BackendError("not in this onnxruntime" if each.provider else "nothing here runs it")


def _compilers() -> list[Check]:
    found = []
    try:
        vela.command()
        state, remedy = version("ethos-u-vela") or "found", ""
    except BackendError:
        state, remedy = "missing", vela.INSTALL
    found.append(Check("compilers", "Vela, for Arm Ethos-U", state, remedy))
    try:
        state, remedy = rknn.python(), ""
    except BackendError:
        state, remedy = "missing", f"an environment with rknn-toolkit2, named by {rknn.VARIABLE}"
    found.append(Check("compilers", "rknn-toolkit2, for Rockchip", state, remedy))
    if importlib.util.find_spec("onnxruntime_qnn") is None:
        found.append(Check("compilers", "Qualcomm HTP, simulated", "missing", "pip install 'littoral[qnn]'"))
    return found
