"""How a network runs: device, precision, memory format and compilation, each chosen once and recorded."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hw4nets.config import Config
from hw4nets.errors import InputError, WriteError
from hw4nets.files import cache_folder, make_folder, write_text
from hw4nets.image_set import IMAGE_SIDE
from hw4nets.network import blank_image
from hw4nets.process import preserved_generators

MEMORY_FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
EVALUATION_BATCH_SIZES = (500, 250, 125, 50, 25)  # each divides 5,000, 10,000, 45,000 and 50,000
MAX_LAYER_OUTPUT_BYTES = 2**28  # of a layer in evaluation: beyond, a CPU is limited by memory
MAX_TIMED_BATCH_SIZE = 256  # of the step that is timed to choose precision and memory format
MAX_TIME_RATIO = 0.9  # bfloat16 or channels_last is chosen if its step takes less than this part of the simpler one's
MAX_NOTE_CHARACTERS = 120  # of a compiler's error
Mode = tuple[str, str]  # names of a precision and of a memory format
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


@dataclass(frozen=True)
class Execution:
    """How a network is run.

    device          of weights and images
    precision       of matrix products; other operations are in float32, or all in float64
    memory_format   contiguous | channels_last
    forward         the network, compiled or not
    evaluated       number of images per forward pass in evaluation
    seconds         spent on compiling
    notes           sentences about what was not available
    """

    device: torch.device
    precision: torch.dtype
    memory_format: torch.memory_format
    forward: Callable[[Tensor], Tensor]
    evaluated: int = EVALUATION_BATCH_SIZES[-1]
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def plain(cls, model: nn.Module, side: int = IMAGE_SIDE) -> Execution:
        """The network for images of a side on the device of its weights, in float32, contiguous, uncompiled."""
        weights = next(model.parameters(), None)
        device = torch.device("cpu") if weights is None else weights.device
        return cls(device, torch.float32, torch.contiguous_format, model, _evaluation_batch_size(model, side))

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision for the block."""
        return _autocast(self.device, self.precision)

    @property
    def format_name(self) -> str:
        """The memory format by its name in a `Config`."""
        return next(name for name, layout in MEMORY_FORMATS.items() if layout is self.memory_format)

    @property
    def precision_name(self) -> str:
        """The precision by its name in a `Config`."""
        return next(name for name, kind in DTYPES.items() if kind is self.precision)

    def in_memory_format(self, images: Tensor) -> Tensor:
        """The images in the memory format of the network, and in float64 if the network is."""
        images = images.double() if self.precision is torch.float64 else images
        return images.contiguous(memory_format=self.memory_format)

    def wait(self) -> None:
        """Wait until the device has finished its work, so that a clock can be read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def prepare(model: nn.Module, config: Config, side: int = IMAGE_SIDE) -> Execution:
    """Move the network to its device and memory format, and compile it if asked; its weights keep their values.

    side   of the images, in pixels
    """
    device = choose_device(config.device)
    model.to(device)
    layouts = _formats(model, config, device)
    modes = [(precision, layout) for precision in _precisions(config, device) for layout in layouts]
    precision, layout = modes[0] if len(modes) == 1 else _remembered_mode(model, config, device, modes, side)
    _lay_out(model, MEMORY_FORMATS[layout])
    if precision == "float64":
        model.double()
    size = _evaluation_batch_size(model, side)
    plain = Execution(device, DTYPES[precision], MEMORY_FORMATS[layout], model, size)
    return _compiled(model, config, plain, side) if config.compile else plain


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    model.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stubs leave this overload out


def check_machine(config: Config) -> None:
    """Raise `InputError` for a device or a precision that this machine does not have."""
    _precisions(config, choose_device(config.device))


def choose_device(name: str) -> torch.device:
    """The device by name; `auto` is CUDA if available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or (number and not number.isdecimal())):
        raise InputError(f"no device {name!r}; give auto, cpu, cuda or cuda:NUMBER")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device {name} was asked for, but this torch ({torch.__version__}) finds no CUDA device; "
            "take `device='cpu'`"
        )
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise InputError(f"device {name} was asked for; there are cuda:0 … cuda:{torch.cuda.device_count() - 1}")
    return torch.device("cpu" if kind == "cpu" else name)


# ---- precision and memory format: the faster one depends on network and machine, by a factor of several --------------


def _precisions(config: Config, device: torch.device) -> list[str]:
    """The modes to choose from: on a CPU also bfloat16, if it has instructions for products summed in float32."""
    if config.precision != "auto":
        if config.precision == "float16" and device.type == "cpu":
            raise InputError("precision float16 needs CUDA; take float32 or bfloat16")
        return [config.precision]
    if device.type == "cuda":
        with torch.cuda.device(device):
            return ["bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"]
    return ["float32", "bfloat16"] if _cpu_has_bfloat16() else ["float32"]


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU has AMX or AVX-512 BF16, as far as this torch knows."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def _formats(model: nn.Module, config: Config, device: torch.device) -> list[str]:
    if not any(isinstance(layer, nn.Conv2d) for layer in model.modules()):
        return ["contiguous"]
    if config.memory_format != "auto":
        return [config.memory_format]
    return ["channels_last"] if device.type == "cuda" else list(MEMORY_FORMATS)


def _remembered_mode(model: nn.Module, config: Config, device: torch.device, modes: list[Mode], side: int) -> Mode:
    """The fastest mode, measured once for a machine, network, batch size and size of images.

    The choice is cached because it affects rounding, and the same seed must give the same history again.
    """
    situation = (platform.node(), torch.__version__, torch.get_num_threads(), str(model), config.batch_size, modes)
    situation = situation if side == IMAGE_SIDE else (*situation, side)
    key = hashlib.sha256(repr(situation).encode()).hexdigest()[:16]
    path = cache_folder() / "execution.json"
    mode = _read_modes(path).get(key)
    if mode not in modes:
        mode = _fastest_mode(model, min(config.batch_size, MAX_TIMED_BATCH_SIZE), device, modes, side)
        with suppress(InputError, WriteError):  # without a cache it is measured again next time
            make_folder(path.parent)
            modes_by_key = _read_modes(path) | {key: mode}  # with those that other processes have measured meanwhile
            write_text(path, json.dumps(modes_by_key, indent=1))
    return mode


def _read_modes(path: Path) -> dict[str, Mode]:
    """The entries of the cache that have the form of a mode."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    pairs = entries.items() if isinstance(entries, dict) else ()
    return {key: (mode[0], mode[1]) for key, mode in pairs if isinstance(mode, list) and len(mode) == 2}


def _fastest_mode(model: nn.Module, batch: int, device: torch.device, modes: list[Mode], side: int) -> Mode:
    """The first mode, or a later one with a clearly faster step."""
    best, least = modes[0], math.inf
    with _unchanged_model(model):
        for mode in modes:
            precision, layout = DTYPES[mode[0]], MEMORY_FORMATS[mode[1]]
            _lay_out(model, layout)
            images = torch.zeros(batch, 3, side, side, device=device).contiguous(memory_format=layout)
            step = partial(_timed_step, model, images, precision)
            step()
            seconds = min(_seconds(step) for _ in range(2))
            if seconds < MAX_TIME_RATIO * least:
                best, least = mode, seconds
    return best


def _seconds(act: Callable[[], None]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _timed_step(forward: Callable[[Tensor], Tensor], images: Tensor, precision: torch.dtype) -> None:
    with _autocast(images.device, precision):
        out = forward(images)
    F.cross_entropy(at_least_float32(out), torch.zeros(len(images), dtype=torch.long, device=images.device)).backward()


def at_least_float32(out: Tensor) -> Tensor:
    """Outputs of half precision in float32."""
    return out.to(torch.promote_types(out.dtype, torch.float32))


def _autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    if precision in (torch.float32, torch.float64):
        return nullcontext()
    return torch.autocast(device.type, precision)


@contextmanager
def _unchanged_model(model: nn.Module) -> Iterator[None]:
    """Restore weights, running statistics, gradients and generators after the block."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    was_training = model.training
    try:
        with preserved_generators(next(model.parameters()).device):
            yield
    finally:
        model.load_state_dict(before)
        model.zero_grad(set_to_none=True)
        model.train(was_training)


def _evaluation_batch_size(model: nn.Module, side: int) -> int:
    """The largest of `EVALUATION_BATCH_SIZES` whose layer outputs have `MAX_LAYER_OUTPUT_BYTES` or less in float32."""
    sizes: list[int] = []

    def measure(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel() * torch.float32.itemsize)

    was_training = model.training
    hooks = [layer.register_forward_hook(measure) for layer in model.modules()]
    try:
        with torch.no_grad():
            model.eval()(blank_image(model, side))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return next(
        (n for n in EVALUATION_BATCH_SIZES if n * max(sizes, default=0) <= MAX_LAYER_OUTPUT_BYTES),
        EVALUATION_BATCH_SIZES[-1],
    )


# ---- compilation -----------------------------------------------------------------------------------------------------


def _compiled(model: nn.Module, config: Config, plain: Execution, side: int) -> Execution:
    """The network compiled for training and for evaluation, on zeros of the real shapes, and the seconds that took.

    Without a compiler, a note and the network itself.
    """
    forward = torch.compile(model, dynamic=False)  # one program per shape: one for any shape is slower
    images, tested = (
        plain.in_memory_format(torch.zeros(n, 3, side, side, device=plain.device))
        for n in (config.batch_size, plain.evaluated)
    )
    start = time.perf_counter()
    try:
        with _unchanged_model(model):
            _timed_step(forward, images, plain.precision)
            with torch.no_grad(), plain.autocast():
                model.eval()
                forward(tested)
    except Exception as error:  # any exception, if a compiler is absent or too old
        torch.compiler.reset()
        why = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:MAX_NOTE_CHARACTERS]}"
        return replace(plain, notes=(f"torch.compile did not work here ({why}); running uncompiled",))
    return replace(plain, forward=forward, seconds=time.perf_counter() - start)
