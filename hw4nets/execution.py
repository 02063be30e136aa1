"""Where and how fast a network runs: device, precision, memory format and compilation, each chosen once and said aloud."""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hw4nets.config import Config
from hw4nets.errors import InputError, WriteError
from hw4nets.files import cache_folder, make_folder, write_text

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
EVALUATION_BATCH_SIZES = (
    500,
    250,
    125,
    50,
    25,
)  # images of a forward pass in evaluation; each divides 5,000, 10,000, 45,000 and 50,000
MAX_LAYER_OUTPUT_BYTES = (
    2**28
)  # bytes of the largest output of a layer in such a pass: beyond, a CPU spends its time on memory
TIMED_BATCH_SIZE = 256  # images of a step that is timed to choose precision and memory format
MMAP_MAX, TRIM_THRESHOLD = (-4, 0), (-1, 2**31 - 1)  # of <malloc.h>: no block from mmap; nothing given back below 2 GB
MAX_TIME_RATIO = 0.9  # of the time of what is simpler must not be taken, for bfloat16 or channels_last to be chosen
Mode = tuple[str, str]  # names of a precision and of a memory format
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Execution:
    """How a network is run.

    device          of weights and images
    precision       of the matrix products of a pass; float32 everywhere else
    memory_format   contiguous | channels_last
    forward         the network, compiled or as it is
    evaluated       images of a forward pass in evaluation
    seconds         spent on compiling
    notes           sentences about what could not be had
    """

    device: torch.device
    precision: torch.dtype
    memory_format: torch.memory_format
    forward: Callable[[Tensor], Tensor]
    evaluated: int = EVALUATION_BATCH_SIZES[-1]
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def plain(cls, model: nn.Module) -> Execution:
        """The network as it is: where its weights are, in float32, contiguous, uncompiled."""
        weights = next(model.parameters(), None)
        device = torch.device("cpu") if weights is None else weights.device
        return cls(device, torch.float32, torch.contiguous_format, model, _evaluation_batch_size(model, device))

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for the block."""
        return _autocast(self.device, self.precision)

    @property
    def format_name(self) -> str:
        """The memory format as a `Config` names it."""
        return next(name for name, layout in MEMORY_FORMATS.items() if layout is self.memory_format)

    @property
    def precision_name(self) -> str:
        """The precision as a `Config` names it."""
        return next(name for name, kind in DTYPES.items() if kind is self.precision)

    def in_memory_format(self, images: Tensor) -> Tensor:
        """The images in the memory format of the network."""
        return images.contiguous(memory_format=self.memory_format)

    def wait(self) -> None:
        """Until the device has done what it was given, so that a clock can be read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def prepare(model: nn.Module, config: Config) -> Execution:
    """Move the network to its device and memory format, and compile it if asked; its weights keep their values."""
    device = choose_device(config.device)
    model.to(device)
    ways = [
        (precision, layout) for precision in _precisions(config, device) for layout in _formats(model, config, device)
    ]
    precision, layout = ways[0] if len(ways) == 1 else _remembered_mode(model, config, device, ways)
    model.to(memory_format=MEMORY_FORMATS[layout])  # type: ignore[call-overload]
    plain = Execution(device, DTYPES[precision], MEMORY_FORMATS[layout], model, _evaluation_batch_size(model, device))
    return _compiled(model, config, plain) if config.compile else plain


def check_machine(config: Config) -> None:
    """Raise `InputError` now for a device or a precision that this machine does not have."""
    _precisions(config, choose_device(config.device))


def choose_device(name: str) -> torch.device:
    """The device by name; `auto` is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or (number and not number.isdecimal())):
        raise InputError(f"no device {name!r}; give auto, cpu, cuda or cuda:NUMBER")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device {name} was asked for, but this torch ({torch.__version__}) finds no CUDA device; take --device cpu"
        )
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise InputError(f"device {name} was asked for; there are cuda:0 … cuda:{torch.cuda.device_count() - 1}")
    return torch.device("cpu" if kind == "cpu" else name)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside the block torch uses that many CPU threads; 0 leaves it as it is."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


@cache
def keep_freed_memory() -> bool:
    """Let the process keep what torch frees on the CPU, for the next step to use; whether that could be arranged (glibc only).

    glibc gives every block above 32 MB back to the system at once, and the next step's page faults fetch it again, zeroed: half of the
    processor time of a training step of `conv`. It concerns the whole process, so programs ask for it, not `train`.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False  # Windows, macOS, musl
    return all(mallopt(option, value) for option, value in (MMAP_MAX, TRIM_THRESHOLD))


@contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """torch's global generators, of the CPU and of the device in use, are after the block what they were; others are not touched."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


# ---- precision and memory format: which is faster differs by network and machine, several times in either direction --------


def _precisions(config: Config, device: torch.device) -> list[str]:
    """Those to choose from: on a CPU bfloat16 too where it has instructions for it, with products of bfloat16 summed in float32."""
    if config.precision != "auto":
        if config.precision == "float16" and device.type == "cpu":
            raise InputError("precision float16 needs CUDA; take float32 or bfloat16")
        return [config.precision]
    if device.type == "cuda":
        with torch.cuda.device(device):
            return ["bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"]
    return ["float32", "bfloat16"] if _cpu_has_bfloat16() else ["float32"]


def _cpu_has_bfloat16() -> bool:
    """AMX or AVX-512 BF16, as far as this torch can tell."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def _formats(model: nn.Module, config: Config, device: torch.device) -> list[str]:
    if not any(isinstance(layer, nn.Conv2d) for layer in model.modules()):
        return ["contiguous"]
    if config.memory_format != "auto":
        return [config.memory_format]
    return ["channels_last"] if device.type == "cuda" else list(MEMORY_FORMATS)  # the layout of its convolution units


def _remembered_mode(model: nn.Module, config: Config, device: torch.device, ways: list[Mode]) -> Mode:
    """Measured once a machine, network and batch size: the choice decides rounding, and a seed must give the same history again."""
    words = (platform.node(), torch.__version__, torch.get_num_threads(), str(model), config.batch_size, ways)
    key = hashlib.sha256(repr(words).encode()).hexdigest()[:16]
    path = cache_folder() / "execution.json"
    way = _read_modes(path).get(key)
    if way not in ways:
        way = _fastest_mode(model, min(config.batch_size, TIMED_BATCH_SIZE), device, ways)
        with suppress(InputError, WriteError):  # without a cache it is measured again another time
            make_folder(path.parent)
            write_text(
                path, json.dumps(_read_modes(path) | {key: way}, indent=1)
            )  # what others measured meanwhile stays
    return way


def _read_modes(path: Path) -> dict[str, Mode]:
    """What the cache holds and means something."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    pairs = kept.items() if isinstance(kept, dict) else ()
    return {key: (way[0], way[1]) for key, way in pairs if isinstance(way, list) and len(way) == 2}


def _fastest_mode(model: nn.Module, batch: int, device: torch.device, ways: list[Mode]) -> Mode:
    """The first way, or a later one that takes clearly less time for a step."""
    best, least = ways[0], math.inf
    with _unchanged_model(model):
        for way in ways:
            precision, layout = DTYPES[way[0]], MEMORY_FORMATS[way[1]]
            model.to(memory_format=layout)  # type: ignore[call-overload]
            images = torch.zeros(batch, 3, 32, 32, device=device).contiguous(memory_format=layout)
            step = partial(_timed_step, model, images, precision)
            step()
            seconds = min(_seconds(step) for _ in range(2))
            if seconds < MAX_TIME_RATIO * least:
                best, least = way, seconds
    return best


def _seconds(act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _timed_step(forward: Callable[[Tensor], Tensor], images: Tensor, precision: torch.dtype) -> None:
    with _autocast(images.device, precision):
        out = forward(images)
    F.cross_entropy(out.float(), torch.zeros(len(images), dtype=torch.long, device=images.device)).backward()


def _autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    return nullcontext() if precision is torch.float32 else torch.autocast(device.type, precision)


@contextmanager
def _unchanged_model(model: nn.Module) -> Iterator[None]:
    """Whatever runs inside leaves weights, running figures, gradients and generators as they were."""
    kept = {name: one.clone() for name, one in model.state_dict().items()}
    was_training = model.training
    try:
        with preserved_generators(next(model.parameters()).device):
            yield
    finally:
        model.load_state_dict(kept)
        model.zero_grad(set_to_none=True)
        model.train(was_training)


def _evaluation_batch_size(model: nn.Module, device: torch.device) -> int:
    """The most images of `EVALUATION_BATCH_SIZES` with which no layer's output takes more than `MAX_LAYER_OUTPUT_BYTES` bytes in float32."""
    sizes: list[int] = []

    def see(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * torch.float32.itemsize)

    was_training = model.training
    hooks = [layer.register_forward_hook(see) for layer in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, 32, 32, device=device))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return next(
        (n for n in EVALUATION_BATCH_SIZES if n * max(sizes, default=0) <= MAX_LAYER_OUTPUT_BYTES),
        EVALUATION_BATCH_SIZES[-1],
    )


# ---- compilation -------------------------------------------------------------------------------------------------------


def _compiled(model: nn.Module, config: Config, plain: Execution) -> Execution:
    """Compile for training and for evaluation on zeros of the real shape, timed apart; without a compiler a note, and no compilation."""
    forward = torch.compile(model, dynamic=False)  # one program a shape: those for any shape are slower
    images, tested = (
        plain.in_memory_format(torch.zeros(n, 3, 32, 32, device=plain.device))
        for n in (config.batch_size, plain.evaluated)
    )
    start = time.perf_counter()
    try:
        with _unchanged_model(model):
            _timed_step(forward, images, plain.precision)
            with torch.no_grad(), plain.autocast():
                model.eval()
                forward(tested)
    except Exception as error:  # whatever a compiler that is absent or too old makes torch raise
        torch.compiler.reset()
        note = f"torch.compile did not work here ({type(error).__name__}: {str(error).strip().splitlines()[0][:120]}); running uncompiled"
        return replace(plain, notes=(note,))
    return replace(plain, forward=forward, seconds=time.perf_counter() - start)
