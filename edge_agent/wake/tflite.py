"""TensorFlow Lite through its C functions, for one small streaming model; and the trial of a model in a child process.

    interpreter = Interpreter(library, model_bytes)   # Unusable: why it cannot be one of a wake word
    interpreter.step(address)                         # `interpreter.size` bytes in, its raw output number back
    interpreter.reset()                               # as if it had heard nothing yet; 0.1 ms, reads no file
    interpreter.close()

    trial(library, model_bytes)                       # the same in a child, which a broken or hostile model may kill

A streaming model keeps what it has heard for about 1.5 s in variables inside; the only way to forget them that works
with these models is a new interpreter on the same bytes. The bytes are held in memory and never read again from the
file, so that a file replaced or cut short under a running device does it no harm.

The library is the one of pymicro-wakeword. This module needs nothing but the standard library, as the child runs it
as a script: it starts in some 50 ms, has limits on memory and processor time, and writes no core.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from ctypes import c_float, c_int, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Literal

TRIAL_STEPS = 200  # of 30 ms: 6 s of sound, several times what a model remembers
TRIAL_CPU_S = 10  # a good model takes 10 ms for all of it
TRIAL_WALL_S = 30.0  # the same on a busy, slow machine, its start included
TRIAL_MEMORY = 1 << 30  # address space; a good model with its library takes a fifth
STEP_S = 0.01  # a third of the 30 ms of sound that one step covers: the sound thread has other work

_FEATURES = 40  # numbers per 10 ms, fixed by the feature front end
_KINDS: dict[int, Literal["int8", "uint8"]] = {9: "int8", 3: "uint8"}  # TfLiteType


class Unusable(ValueError):
    """The model cannot be used; says what is wrong with it and what is allowed, without a name."""


class _Quantization(ctypes.Structure):
    _fields_ = (("scale", c_float), ("zero_point", c_int32))


class Interpreter:
    """One model, ready to step. Not thread-safe.

    Attributes:
        stride: frames of 10 ms per step.
        size: bytes of one input, `stride` times 40 numbers of one byte.
        input_kind: int8 or uint8.
        input_scale, input_zero: an input number stands for `scale * (number - zero)`.
        output_scale, output_zero: the same of the output.

    Args:
        library: path of libtensorflowlite_c.so.
        model: the content of a .tflite file.

    Raises:
        Unusable: it is not a model, or not one of a wake word.
        OSError: the library cannot be loaded.
    """

    def __init__(self, library: Path, model: bytes) -> None:
        self._lib = _load(library)
        self._bytes = model  # the C side keeps a pointer to them
        self._interpreter: int | None = None
        self._model: int | None = self._lib.TfLiteModelCreate(model, len(model))
        if not self._model:
            raise Unusable("it is damaged, or no TensorFlow Lite model")
        try:
            self._open()
            self._examine()
        except BaseException:
            self.close()
            raise

    def step(self, address: int) -> int:
        """Put one input in and return the raw output.

        Args:
            address: where `size` bytes lie, frame after frame.

        Raises:
            Unusable: the library says the step failed.
        """
        self._copy_in(self._input, address, self.size)
        if self._invoke(self._interpreter):
            raise Unusable("it fails while it runs")
        self._copy_out(self._output, self._number_at, 1)
        return int(self._number.value)

    def reset(self) -> None:
        """Forget everything heard.

        Raises:
            Unusable: there is not enough memory for a new interpreter.
        """
        self._open()

    def close(self) -> None:
        """Give the memory back; nothing else may be called afterwards."""
        if self._interpreter:
            self._lib.TfLiteInterpreterDelete(self._interpreter)
            self._interpreter = None
        if self._model:
            self._lib.TfLiteModelDelete(self._model)
            self._model = None

    def __del__(self) -> None:
        if hasattr(self, "_model"):
            self.close()

    def _open(self) -> None:
        if self._interpreter:
            self._lib.TfLiteInterpreterDelete(self._interpreter)
        self._interpreter = self._lib.TfLiteInterpreterCreate(self._model, None)
        if not self._interpreter or self._lib.TfLiteInterpreterAllocateTensors(self._interpreter):
            raise Unusable("it asks for operations or memory that are not there")
        self._input = self._lib.TfLiteInterpreterGetInputTensor(self._interpreter, 0)
        self._output = self._lib.TfLiteInterpreterGetOutputTensor(self._interpreter, 0)
        self._invoke = self._lib.TfLiteInterpreterInvoke
        self._copy_in = self._lib.TfLiteTensorCopyFromBuffer
        self._copy_out = self._lib.TfLiteTensorCopyToBuffer

    def _examine(self) -> None:
        """Read shapes, types and scales, and refuse what no wake word has."""
        lib = self._lib
        counts = (
            lib.TfLiteInterpreterGetInputTensorCount(self._interpreter),
            lib.TfLiteInterpreterGetOutputTensorCount(self._interpreter),
        )
        if counts != (1, 1):
            raise Unusable(f"it has {counts[0]} inputs and {counts[1]} outputs; allowed is one of each")
        kinds = [lib.TfLiteTensorType(one) for one in (self._input, self._output)]
        if not set(kinds) <= set(_KINDS):
            raise Unusable("its numbers are not of 8 bits; allowed are int8 and uint8 (a quantized model)")
        shape, answer = (
            [lib.TfLiteTensorDim(one, axis) for axis in range(lib.TfLiteTensorNumDims(one))]
            for one in (self._input, self._output)
        )
        if len(shape) != 3 or shape[0] != 1 or not 1 <= shape[1] <= 10 or shape[2] != _FEATURES:
            raise Unusable(f"its input has the shape {shape}; allowed is [1, 1 to 10, {_FEATURES}]")
        if lib.TfLiteTensorByteSize(self._output) != 1:
            raise Unusable(f"its output has the shape {answer}; allowed is a single number")
        scales = [lib.TfLiteTensorQuantizationParams(one) for one in (self._input, self._output)]
        if not all(0 < one.scale < 1e3 for one in scales):
            raise Unusable("its numbers have no scale; allowed is a quantized model")
        self.stride = int(shape[1])
        self.size = self.stride * _FEATURES
        self.input_kind, self.output_kind = (_KINDS[kind] for kind in kinds)
        self.input_scale, self.input_zero = scales[0].scale, scales[0].zero_point
        self.output_scale, self.output_zero = scales[1].scale, scales[1].zero_point
        self._number = ctypes.c_int8() if self.output_kind == "int8" else ctypes.c_uint8()
        self._number_at = ctypes.addressof(self._number)


def trial(library: Path, model: bytes) -> None:
    """Run a model for 6 s of made-up sound in a child process. Blocks for 0.1 s, up to 30 s if it hangs.

    It keeps a broken model from ending the device; it is no prison for a model made to harm, which then runs with the
    rights of the device as any other file of its configuration.

    Raises:
        Unusable: the model was refused, killed the child, or took too long.
        OSError: no child can be started.
    """
    command = [sys.executable, "-I", "-S", __file__, str(library)]
    try:
        done = subprocess.run(command, input=model, capture_output=True, timeout=TRIAL_WALL_S, check=False)
    except subprocess.TimeoutExpired:
        raise Unusable(f"a trial of it did not end within {TRIAL_WALL_S:.0f} s") from None
    try:
        found = json.loads(done.stdout)
        refused = str(found["refused"])
        step_ms = float(found["step_ms"])
    except (ValueError, KeyError, TypeError):
        raise Unusable(f"it killed the process that tried it ({_death(done.returncode)})") from None
    if refused:
        raise Unusable(refused)
    if step_ms > STEP_S * 1e3:
        raise Unusable(f"a step of it takes {step_ms:.0f} ms on this machine; allowed are {STEP_S * 1e3:.0f}")


def _death(code: int) -> str:
    """Say how a process ended, in a few words."""
    import signal  # noqa: PLC0415  only where a child died

    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"


def _load(path: Path) -> ctypes.CDLL:
    """Load the library and declare the functions used here, as c_api.h of TensorFlow Lite has them."""
    lib = ctypes.CDLL(str(path))
    for name, result, *arguments in (
        ("TfLiteModelCreate", c_void_p, ctypes.c_char_p, c_size_t),
        ("TfLiteModelDelete", None, c_void_p),
        ("TfLiteInterpreterCreate", c_void_p, c_void_p, c_void_p),
        ("TfLiteInterpreterDelete", None, c_void_p),
        ("TfLiteInterpreterAllocateTensors", c_int, c_void_p),
        ("TfLiteInterpreterInvoke", c_int, c_void_p),
        ("TfLiteInterpreterGetInputTensorCount", c_int32, c_void_p),
        ("TfLiteInterpreterGetOutputTensorCount", c_int32, c_void_p),
        ("TfLiteInterpreterGetInputTensor", c_void_p, c_void_p, c_int32),
        ("TfLiteInterpreterGetOutputTensor", c_void_p, c_void_p, c_int32),
        ("TfLiteTensorType", c_int, c_void_p),
        ("TfLiteTensorNumDims", c_int32, c_void_p),
        ("TfLiteTensorDim", c_int32, c_void_p, c_int32),
        ("TfLiteTensorByteSize", c_size_t, c_void_p),
        ("TfLiteTensorQuantizationParams", _Quantization, c_void_p),
        ("TfLiteTensorCopyFromBuffer", c_int, c_void_p, c_void_p, c_size_t),
        ("TfLiteTensorCopyToBuffer", c_int, c_void_p, c_void_p, c_size_t),
    ):
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib


def _try() -> None:
    """Be the child: read a model from standard input, run it, and print what came of it."""
    import resource  # noqa: PLC0415  the child alone limits itself

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_CPU_S, TRIAL_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (TRIAL_MEMORY, TRIAL_MEMORY))
    refused, step_s = "", 0.0
    try:
        interpreter = Interpreter(Path(sys.argv[1]), sys.stdin.buffer.read())
        buffer = (ctypes.c_ubyte * interpreter.size)()
        seed, times = 1, []
        for _ in range(TRIAL_STEPS):
            for place in range(interpreter.size):
                seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF  # every byte value, the same on each run
                buffer[place] = seed >> 16 & 0xFF
            begun = time.process_time()
            interpreter.step(ctypes.addressof(buffer))
            times.append(time.process_time() - begun)
        interpreter.reset()
        step_s = min(times)
    except Unusable as error:
        refused = str(error)
    sys.stdout.write(json.dumps({"refused": refused, "step_ms": step_s * 1e3}))


if __name__ == "__main__":
    _try()
