"""Parts as ONNX files: written by a trace, checked against PyTorch, and their weights in 8 bits."""

import functools
import importlib
import inspect
import logging
import warnings
from pathlib import Path
from types import ModuleType
from typing import Callable, Dict, List, Tuple

import torch
from torch import Tensor, nn

from icefall_discrete.export.parts import Part
from icefall_discrete.export.tracing_check import TRACED, largest_difference

LOG = logging.getLogger(__name__)
OPSET = 17


def imported(package: str) -> ModuleType:
    """A package of the extra `export`. Raises ImportError, in one sentence, if it or what it needs is not installed."""
    name = package.split(".")[0]
    try:
        return importlib.import_module(package)
    except ImportError as error:
        is_absent = isinstance(error, ModuleNotFoundError) and error.name == name
        fault = "is not installed" if is_absent else f"cannot be imported ({error})"
        raise ImportError(
            f"{name} {fault}; pip install 'icefall-discrete[export]' (onnx, onnxruntime, and what they need)."
        ) from None


def require_packages(with_int8: bool) -> None:
    """Raise ImportError, in one sentence, unless all that an export (`with_int8`: to 8 bits too) needs is there."""
    for package in ("onnx", "onnxruntime", *(("onnxruntime.quantization",) if with_int8 else ())):
        imported(package)


@torch.no_grad()
def write_onnx(part: Part, path: Path) -> None:
    """Write a part as an ONNX file with its metadata.

    Raises:
      ValueError: if it is made of something that cannot be traced or has no counterpart there.
    """
    onnx = imported("onnx")
    inputs = part.example(*TRACED)
    # Newer exporters read programs, not traces; this one is there in every torch.
    reads_programs = "dynamo" in inspect.signature(torch.onnx.export).parameters
    export = functools.partial(torch.onnx.export, dynamo=False) if reads_programs else torch.onnx.export
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about shapes in a trace, which the check is for
            export(
                _traced_scripts(part.module.eval(), tuple(inputs.values())),
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=list(part.outputs),
                dynamic_axes={name: dict(axes) for name, axes in part.open_axes.items()},
                opset_version=OPSET,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{part.name} of this model cannot be exported to ONNX: {reason}") from None
    model = onnx.load(str(path))
    for key, value in part.metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))


def _traced_scripts(module: nn.Module, inputs: Tuple[Tensor, ...]) -> nn.Module:
    """A module that holds a script as a trace, without which the exporter does not know the script for a part of it."""
    is_script = any(isinstance(one, torch.jit.ScriptModule) for one in module.modules())
    return torch.jit.trace(module, inputs, check_trace=False) if is_script else module


def onnx_runner(path: Path) -> Callable[[Dict[str, Tensor]], List[Tensor]]:
    """What runs an ONNX file, on one thread: inputs by name to outputs.

    Raises:
      ValueError: if onnxruntime cannot run it.
    """
    runtime = imported("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is said once, by what is raised

    def run(inputs: Dict[str, Tensor]) -> List[Tensor]:
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            outputs = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        except Exception as error:  # onnxruntime's have no base of their own
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path.stem} of this model cannot be exported to ONNX: {reason}") from None
        return [torch.from_numpy(output) for output in outputs]

    return run


def export_onnx(part: Part, folder: Path, int8: bool) -> List[str]:
    """Write a part to `folder`, also with its matrices in 8 bits if asked for; returns the names of its files.

    Raises:
      ValueError: if it cannot be exported, or the file does not give what PyTorch gives.
    """
    path = folder / f"{part.name}.onnx"
    write_onnx(part, path)
    difference = largest_difference(part, onnx_runner(path))
    if not difference <= part.tolerance:
        raise ValueError(
            f"{part.name} of this model cannot be exported to ONNX: what the file gives differs from PyTorch by "
            f"{difference:.2g} of the largest number."
        )
    LOG.info(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, differs from PyTorch by {difference:.1e} at most")
    return [path.name, quantized(part, path)] if int8 and part.has_int8 else [path.name]


def quantized(part: Part, path: Path) -> str:
    """Write `<name>.int8.onnx` beside a part's file: weights of matrices in 8 bits; returns the file's name."""
    quantization = imported("onnxruntime.quantization")
    small = path.with_name(f"{part.name}.int8.onnx")
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)  # it advises another step, which shapes that stay open do not pass
    try:
        quantization.quantize_dynamic(
            str(path), str(small), op_types_to_quantize=["MatMul"], weight_type=quantization.QuantType.QUInt8
        )
    finally:
        logging.getLogger().setLevel(before)
    difference = largest_difference(part, onnx_runner(small))
    LOG.info(f"{small.name}: {small.stat().st_size / 1e6:.1f} MB, differs from PyTorch by {difference:.1e} at most")
    return small.name
