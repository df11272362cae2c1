"""Models on TensorFlow Lite: what is refused, and that a broken one kills a child and not the device."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_agent.wake import find, tflite
from edge_agent.wake.tflite import Interpreter, Unusable, trial

MODEL = find("okay_nabu")


def outputs(interpreter: Interpreter, count: int = 60, seed: int = 1) -> list[int]:
    """Return the raw outputs for made-up input."""
    rows = np.random.default_rng(seed).integers(128, 160, (count, interpreter.size)).astype(np.uint8)
    return [interpreter.step(rows.ctypes.data + at * interpreter.size) for at in range(count)]


def test_what_a_built_in_model_is() -> None:
    interpreter = Interpreter(MODEL.library, MODEL.data)
    assert (interpreter.stride, interpreter.size) == (3, 120)
    assert (interpreter.input_kind, interpreter.output_kind) == ("int8", "uint8")
    assert (interpreter.input_zero, interpreter.output_zero) == (-128, 0)
    assert interpreter.output_scale == 1 / 256


def test_a_reset_interpreter_is_as_good_as_new() -> None:
    interpreter = Interpreter(MODEL.library, MODEL.data)
    first = outputs(interpreter)
    assert outputs(interpreter) != first, "it remembers, so this test can tell"
    interpreter.reset()
    assert outputs(interpreter) == first


def test_memory_is_given_back() -> None:
    """A device that is muted often must not grow: 300 resets hold what one does."""
    interpreter = Interpreter(MODEL.library, MODEL.data)
    for _ in range(20):
        interpreter.reset()
    before = _resident()
    for _ in range(300):
        interpreter.reset()
    assert _resident() - before < 4_000_000
    interpreter.close()
    interpreter.close()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_good_model_passes_its_trial() -> None:
    trial(MODEL.library, MODEL.data)


def test_a_damaged_model_is_refused_in_the_child_or_kills_it_and_never_us() -> None:
    """Single bytes are changed all over the file; whatever comes of it is a pass or a sentence."""
    dice, refused = np.random.default_rng(4), []
    for _ in range(12):
        data = bytearray(MODEL.data)
        for _ in range(3):
            data[dice.integers(8, len(data))] = dice.integers(256)
        try:
            trial(MODEL.library, bytes(data))
        except Unusable as error:
            refused.append(str(error))
    assert len(refused) > 2
    assert all(refused)


@pytest.mark.parametrize(
    ("script", "part"),
    [
        ("import os; os.kill(os.getpid(), 11)", "killed the process that tried it (SIGSEGV)"),
        ("import os; os._exit(7)", "killed the process that tried it (exit code 7)"),
        ("print('{')", "killed the process that tried it (exit code 0)"),
        ('print(\'{"refused": "", "step_ms": 31.0}\')', "a step of it takes 31 ms on this machine; allowed are 10"),
        ("while True: pass", "did not end within 1 s"),
    ],
)
def test_what_can_come_of_a_trial(script: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text(script)
    monkeypatch.setattr(tflite, "__file__", str(child))
    monkeypatch.setattr(tflite, "TRIAL_WALL_S", 1.0)
    with pytest.raises(Unusable) as refused:
        trial(MODEL.library, MODEL.data)
    assert part in str(refused.value)


def test_the_child_limits_its_processor_time_and_memory() -> None:
    """A model that loops for ever or asks for all memory is ended by the kernel, at limits the child sets itself."""
    code = (
        f"import sys, runpy, resource; sys.argv = ['x', {str(MODEL.library)!r}]\n"
        f"runpy.run_path({tflite.__file__!r}, run_name='__main__')\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_AS)[0],"
        " resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=MODEL.data, capture_output=True, timeout=60, check=True)
    assert done.stdout.decode().rpartition("}")[2].split() == ["10", str(1 << 30), "0"]


class _Library:
    """The real library, with one answer changed: a model of another shape."""

    def __init__(self, **changed: object) -> None:
        self._real, self._changed = tflite._load(MODEL.library), changed

    def __getattr__(self, name: str) -> object:
        return self._changed.get(name) or getattr(self._real, name)


@pytest.mark.parametrize(
    ("function", "answer", "part"),
    [
        ("TfLiteInterpreterGetInputTensorCount", lambda _: 2, "2 inputs and 1 outputs; allowed is one of each"),
        ("TfLiteTensorType", lambda _: 1, "not of 8 bits; allowed are int8 and uint8"),
        ("TfLiteTensorDim", lambda _, axis: (1, 3, 64)[axis], "[1, 3, 64]; allowed is [1, 1 to 10, 40]"),
        ("TfLiteTensorDim", lambda _, axis: (1, 49, 40)[axis], "[1, 49, 40]; allowed is"),
        ("TfLiteTensorNumDims", lambda _: 2, "the shape [1, 3]; allowed is"),
        ("TfLiteTensorByteSize", lambda _: 2, "a single number"),
        ("TfLiteTensorQuantizationParams", lambda _: tflite._Quantization(0.0, 0), "have no scale"),
        ("TfLiteInterpreterAllocateTensors", lambda _: 1, "operations or memory that are not there"),
        ("TfLiteInterpreterCreate", lambda *_: None, "operations or memory that are not there"),
        ("TfLiteModelCreate", lambda *_: None, "damaged, or no TensorFlow Lite model"),
    ],
)
def test_models_that_are_no_wake_words(
    function: str, answer: object, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = _Library(**{function: answer})
    monkeypatch.setattr(tflite, "_load", lambda _: changed)
    with pytest.raises(Unusable) as refused:
        Interpreter(MODEL.library, MODEL.data)
    assert part in str(refused.value)


def test_a_step_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = _Library(TfLiteInterpreterInvoke=lambda _: 1)
    monkeypatch.setattr(tflite, "_load", lambda _: changed)
    interpreter = Interpreter(MODEL.library, MODEL.data)
    with pytest.raises(Unusable, match="fails while it runs"):
        interpreter.step(ctypes.addressof((ctypes.c_ubyte * interpreter.size)()))
