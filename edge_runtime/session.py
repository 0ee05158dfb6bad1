"""Sessions: a loaded bundle (or ONNX file) on an engine, ready to run."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.engines import Engine, open_engine
from edge_runtime.errors import InputError
from edge_runtime.files import existing
from edge_runtime.tensors import Array, as_arrays, check_inputs
from edge_runtime.tuning.source import Source

if TYPE_CHECKING:
    from edge_runtime.accelerators.automatic import Accelerated
    from edge_runtime.accelerators.select import Choice
    from edge_runtime.binding import Binding
    from edge_runtime.bundle import Bundle
    from edge_runtime.tuning import store


_SETTLED, _LARGE = 16, 1 << 21  # runs; bytes of a model
_EMULATED = ("LITTORAL_MARKS", "LITTORAL_EMULATED")  # as `profile` says


class Session:
    """A model that runs: ``Session(Bundle.open("m.bundle")).run({"images": x})``.

    `inputs` and `outputs` are its signature. `run` may be called from several threads.
    """

    def __init__(
        self,
        model: "Bundle | str | os.PathLike[str] | bytes",
        *,
        providers: Sequence[str] | None = None,
        threads: int = 0,
        exact_int8: bool = True,
        engine: str | None = None,
        accelerators: str | bool = "auto",
        tune: str | bool = "auto",
    ) -> None:
        """Load a bundle, an ONNX file, or serialised ONNX.

        Args:
            model: a bundle, or the path of a bundle or of an .onnx file, or the bytes of an ONNX model.
            providers: execution providers, best first; None takes what the bundle's target names.
            threads: threads within an operator; 0 lets the engine choose.
            exact_int8: refuse int8 kernels that saturate (see `edge_runtime.engines.onnx`).
            engine: "onnxruntime" or "litert"; None takes the bundle's own, or the first in the order of its
                target, whose file is there.
            accelerators: "auto" takes the best of those that the bundle's target names which really runs it, also a
                simulator; "hardware" no simulator; False none. `choice` says what was taken, and why others were not.
                A provider or an engine that is asked for leaves them out.
            tune: "auto" runs it as `littoral tune` found to be fastest on this device, if it did; True measures first
                where nothing is known; False runs it as its target says. `tuned` says what was taken.

        Raises:
            InputError: there is nothing at the path, or `accelerators` or `tune` is something else.
            BundleError: the bundle is damaged.
            ModelError: the engine does not accept the graph.
            BackendError: the engine or a provider is missing.
        """
        source = source_of(model)
        self.bundle, self.name = source.bundle, source.name
        asked = providers is not None or engine is not None
        chosen = engine or source.preferred()
        #: The setting that the tuner chose for this device, and what it measured; None for a session as it is.
        self.tuned = _tuned(source, threads, exact_int8, tune, asked)

        def ordinary() -> Engine:
            if self.tuned is not None:
                setting, graph = self.tuned.opened()
                return setting.open(source, graph)
            options: dict[str, Any] = {}
            if chosen == "onnxruntime":
                options = {"providers": providers or source.providers(), "exact_int8": exact_int8}
            return open_engine(chosen, source.read(chosen), where=self.name, threads=threads, **options)

        self._accelerated = _accelerated(self.bundle, ordinary, threads, accelerators, asked)
        opened = self._accelerated or ordinary()
        self._engine = self.tuned.setting.engine if self.tuned is not None else chosen
        self.inputs, self.outputs, self._run = opened.inputs, opened.outputs, opened.run
        self._bind, self._ordinary = opened.bind, opened
        self._seen: tuple[Any, ...] = ()
        self._checked, self._large = 0, source.size() >= _LARGE

    @property
    def engine(self) -> str:
        """The engine that runs it; an accelerator is one of onnxruntime's providers."""
        return "onnxruntime" if self.choice is not None and self.choice.session is not None else self._engine

    @property
    def choice(self) -> "Choice | None":
        """Which accelerator was taken and why others were not, as text by `str`; None where the target names none."""
        return self._accelerated.choice if self._accelerated is not None else None

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once.

        Args:
            inputs: an array for each of `self.inputs`, by name; dtype and shape as declared there. It is read where it
                is, also that of another library which speaks DLPack (a PyTorch tensor on the CPU, say).

        Returns:
            An array for each of `self.outputs`, by name; the caller's own.

        Raises:
            InputError: a name is missing or unknown, or an array does not fit.
            ModelError: the engine failed while running.
        """
        # One comparison for the usual case, a call like the one before; the full check only when it differs.
        try:
            seen = tuple([(name, a.__class__, a.dtype, a.shape) for name, a in inputs.items()])
        except AttributeError:  # something that is no array
            seen = ()
        if seen != self._seen or not seen:
            inputs = as_arrays(inputs)
            check_inputs(self.inputs, inputs)
            self._checked += 1
            if self._checked == _SETTLED:
                self._settle()
            if self._checked >= _SETTLED:
                self._seen = tuple([(name, a.__class__, a.dtype, a.shape) for name, a in inputs.items()])
        return self._run(inputs)

    def _settle(self) -> None:
        """A model that has run several times will go on: what it reads each time is worth gathering in large pages."""
        if self._large and not any(
            name in os.environ for name in _EMULATED
        ):  # there, it would be counted as a run
            from edge_runtime.engines import pages

            pages.gather()

    def shrink(self) -> None:
        """After its next run, give back to the system the memory that the sessions of this process hold and do not use.

        For a process that will be idle: the run after that one has to fetch it again.
        """
        shrink = getattr(self._ordinary, "shrink", None)
        if shrink is not None:
            shrink()

    def bind(
        self,
        inputs: Mapping[str, Array] | None = None,
        outputs: Mapping[str, Array] | None = None,
        lengths: Mapping[str, int] | None = None,
    ) -> "Binding":
        """Run from arrays into arrays that stay where they are: nothing is allocated from call to call.

        Args:
            inputs: an array for each of `self.inputs`, contiguous; what is not given is made.
            outputs: likewise for `self.outputs`; they may lie in memory that another process reads (`shared_arrays`).
            lengths: of axes that may vary, for arrays that are made; 1 where none is given.

        Returns:
            What to write to, call and read: ``b.inputs["x"][:] = x; b(); b.outputs["y"]``.

        Raises:
            InputError: an array does not fit, or an output's shape does not follow from the inputs'.
        """
        from edge_runtime.binding import Binding

        given = {**as_arrays(inputs or {}), **as_arrays(outputs or {})}
        into = Binding.made(self.inputs, self.outputs, given, lengths or {})
        self._settle()
        return into.calling(self._bind(into.inputs, into.outputs))

    def run_batches(self, x: Array, batch: int = 0) -> list[Array]:
        """Run the model over many samples.

        Args:
            x: the samples, stacked: dtype and sample shape as declared; for several inputs, records (see `data`).
            batch: samples a call; 0 takes the model's own batch, or 1 where that may vary.

        Returns:
            The outputs, each stacked in the order of the samples.

        Raises:
            InputError: the samples do not fit, or an output has another shape for each call.
        """
        if x.dtype.names is None and len(self.inputs) != 1:
            names = ", ".join(map(str, self.inputs))
            raise InputError(
                f"{self.name}: takes {len(self.inputs)} inputs ({names}); expected an array for each, by its name"
            )
        from edge_runtime.data import feeds

        parts = []
        for feed, count in feeds(x, self.inputs, batch):
            parts.append([out[:count] if count else out[None] for out in self.run(feed).values()])
        try:
            return [np.concatenate(column) for column in zip(*parts, strict=True)]
        except ValueError as error:
            raise InputError(
                f"{self.name}: an output has another shape for each sample, which cannot be compared: {error}"
            ) from error


def _accelerated(
    bundle: "Bundle | None",
    ordinary: Callable[[], Engine],
    threads: int,
    accelerators: str | bool,
    asked: bool,
) -> "Accelerated | None":
    """The bundle on its target's accelerators; None where that names none, which costs nothing."""
    if accelerators not in ("auto", "hardware", True, False):
        raise InputError(f"accelerators is {accelerators!r}; expected 'auto', 'hardware' or False")
    if asked or not accelerators or bundle is None:
        return None
    if "infer.onnx" not in bundle or "selftest.npz" not in bundle:
        return None
    from edge_runtime.target import Target

    target = Target.load(bundle.manifest.target)
    if not target.accelerators:
        return None
    from edge_runtime.accelerators.automatic import accelerated

    return accelerated(bundle, target, ordinary, threads=threads, simulations=accelerators != "hardware")


def _tuned(
    source: Source, threads: int, exact_int8: bool, tune: str | bool, asked: bool
) -> "store.Choice | None":
    """What the tuner chose for this device; None where nothing is known and nothing shall be measured."""
    if tune not in ("auto", True, False):
        raise InputError(f"tune is {tune!r}; expected 'auto', True or False")
    if tune is True and asked:
        raise InputError("tune chooses the engine and the provider: leave out `engine` and `providers`")
    if asked or not tune or not exact_int8 or (tune == "auto" and not source.tuned_before()):
        return None
    if tune is True:
        from edge_runtime.tuning import tuner

        return tuner.tuned(source, threads)
    from edge_runtime.tuning import store

    return store.load(source, threads)


def source_of(model: "Bundle | str | os.PathLike[str] | bytes") -> Source:
    """What is loaded, and what to call it in an error."""
    if isinstance(model, bytes):
        return Source(model, "model")
    if isinstance(model, str | os.PathLike):
        path = os.fspath(model)
        if path.endswith((".onnx", ".tflite")) and os.path.isfile(path):
            return Source(path, path)
        from edge_runtime.bundle import Bundle

        model = Bundle.open(existing(path, "a bundle, an .onnx or a .tflite file"), whole=False)
    return Source(model, str(model.path))
