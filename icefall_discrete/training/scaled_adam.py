"""ScaledAdam: Adam whose steps are proportional to the size of each parameter tensor, and which learns that size.

Source: the Zipformer paper, https://arxiv.org/abs/2310.11230 (ScaledAdam), with icefall's constants, and with gradient
clipping by the median of recent gradient norms.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from torch.optim import Optimizer

from icefall_discrete.training.optimization import OtherGroups

# Early updates of the clipping threshold, in steps: norms change fast at first, so it is not left unset for a period.
EARLY_CLIPPING_UPDATES = (10, 20, 40)
FULL_BIAS_CORRECTION = 0.99
# Elements of a bucket: few enough for a step's matrices to stay in a CPU's cache, many enough to occupy a GPU.
BUCKET_ELEMENTS = 2**18

NamedParameters = Iterable[Union[Tensor, Tuple[str, Tensor]]]


@dataclass(frozen=True)
class SizeRules:
    """How large parameters may be and how their sizes are learned.

    scalar_lr_scale: factor on the learning rate for single-element parameters and for the learned scales.
    param_min_rms: smallest root mean square that a step is scaled by; below it a tensor is not shrunk further.
    param_max_rms: largest root mean square a tensor may grow to by its learned scale.
    scalar_max: largest absolute value of single-element parameters.
    size_update_period: steps between updates of the learned scales.
    """

    scalar_lr_scale: float = 0.1
    param_min_rms: float = 1.0e-5
    param_max_rms: float = 3.0
    scalar_max: float = 10.0
    size_update_period: int = 4


DEFAULT_SIZES = SizeRules()


@dataclass
class _Bucket:
    """Parameters of one group with equally many elements, handled as the rows of one matrix."""

    names: List[str]
    params: List[Tensor]
    grads: List[Tensor]
    state: Dict[str, Any]

    @property
    def shape(self) -> Tuple[int, int]:
        return len(self.params), self.params[0].numel()

    @property
    def is_scalar(self) -> bool:
        return self.params[0].numel() == 1


class _Workspace:
    """Memory for the matrices of the buckets that are updated together, used again by the next ones."""

    def __init__(self, like: Tensor, size: int) -> None:
        self.grad, self.values, self.denominator = like.new_empty(3, size)

    def load(self, buckets: Sequence[_Bucket]) -> "_Matrices":
        """Gradients and values of the buckets as matrices, and a third one for each with undefined content."""
        size = _num_elements(buckets)
        flats = (self.grad[:size], self.values[:size], self.denominator[:size])
        torch.cat([tensor.reshape(-1) for bucket in buckets for tensor in bucket.grads], out=flats[0])
        torch.cat([tensor.reshape(-1) for bucket in buckets for tensor in bucket.params], out=flats[1])
        sizes = [_num_elements([bucket]) for bucket in buckets]
        rows = [[part.view(bucket.shape) for part, bucket in zip(flat.split(sizes), buckets)] for flat in flats]
        return _Matrices(*flats, *rows)


@dataclass
class _Matrices:
    """Gradients, values and denominators of some buckets: each whole, and as the matrix of each bucket."""

    grad: Tensor
    values: Tensor
    denominator: Tensor
    grads_of: List[Tensor]
    values_of: List[Tensor]
    denominators_of: List[Tensor]


class ScaledAdam(Optimizer):
    """Adam in units of each tensor's root mean square, with a learned scale for each tensor.

    Parameters with equally many elements are stacked, so that a step is a few operations for each size and not for each
    parameter. On a GPU a step never waits for the device, except when the clipping threshold is renewed and reported.

    Args:
      params: parameters, `(name, parameter)` pairs, or groups: dicts with "params" (either of those) and own settings.
      lr: learning rate; around 0.045 with Eden.
      clipping_scale: gradients are scaled down to at most this times the median of recent norms; None: no clipping.
        Norms are taken after multiplying each tensor's gradient by its root mean square.
      betas: momentum, and decay of the squared gradients.
      eps: added to denominators.
      clipping_update_period: steps between updates of the clipping threshold.
      sizes: rules for the sizes of parameters.
    """

    def __init__(
        self,
        params: Union[NamedParameters, Iterable[Dict[str, Any]]],
        lr: float = 0.03,
        clipping_scale: Optional[float] = None,
        betas: Tuple[float, float] = (0.9, 0.98),
        eps: float = 1.0e-8,
        clipping_update_period: int = 100,
        sizes: SizeRules = DEFAULT_SIZES,
    ) -> None:
        defaults = {
            "lr": lr,
            "clipping_scale": clipping_scale,
            "betas": betas,
            "eps": eps,
            "clipping_update_period": clipping_update_period,
            **asdict(sizes),
        }
        groups, self.parameter_names = _split_names(params)
        super().__init__(groups, defaults)
        self._workspaces: Dict[Tuple, _Workspace] = {}

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], Any]] = None) -> Any:
        """Take one step; a parameter without gradient counts as having a gradient of zero."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, names in zip(self.param_groups, self.parameter_names):
            buckets = self._buckets(group["params"], names)
            factor = _clipping_factor(group, buckets)
            for together in _updated_together(buckets):
                _update(group, together, factor, self._workspace(together))
        return loss

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore what `state_dict` gave. Raises OtherGroups if that is of other groups of parameters."""
        was, now = ([len(group["params"]) for group in groups] for groups in (state["param_groups"], self.param_groups))
        if was != now:
            raise OtherGroups(f"its optimizer has groups of {was} parameters, here they are of {now}")
        super().load_state_dict(state)

    def _buckets(self, params: List[Tensor], names: List[str]) -> List[_Bucket]:
        """Sort parameters by their size; the state of a bucket is kept with its first parameter."""
        members: Dict[Tuple, List[int]] = {}
        for index, param in enumerate(params):
            members.setdefault((param.device, param.dtype, param.numel()), []).append(index)
        buckets = []
        for indexes in _rows_that_fit(members):
            own = [params[i] for i in indexes]
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in own]
            if any(grad.is_sparse for grad in grads):
                raise RuntimeError(f"ScaledAdam cannot use sparse gradients (parameter {names[indexes[0]]}).")
            buckets.append(_Bucket([names[i] for i in indexes], own, grads, self.state[own[0]]))
        return buckets

    def _workspace(self, buckets: Sequence[_Bucket]) -> _Workspace:
        """The workspace for the buckets' device and type, grown if it is too small."""
        first, size = buckets[0].params[0], _num_elements(buckets)
        key = (first.device, first.dtype)
        if key not in self._workspaces or self._workspaces[key].grad.numel() < size:
            self._workspaces[key] = _Workspace(first, size)
        return self._workspaces[key]


def _num_elements(buckets: Sequence[_Bucket]) -> int:
    return sum(rows * elements for rows, elements in (bucket.shape for bucket in buckets))


def _updated_together(buckets: Sequence[_Bucket]) -> List[List[_Bucket]]:
    """Each bucket alone on a CPU, where it stays in the cache; on a device all of a kind, in few launches.

    That costs a device a workspace of three times the parameters.
    """
    groups: Dict[Any, List[_Bucket]] = {}
    for index, bucket in enumerate(buckets):
        param = bucket.params[0]
        apart = index if param.device.type == "cpu" else bucket.state.get("step", 0)
        groups.setdefault((param.device, param.dtype, bucket.is_scalar, apart), []).append(bucket)
    return list(groups.values())


def _rows_that_fit(members: Dict[Tuple, List[int]]) -> List[List[int]]:
    """Split the members of each size so that a bucket has at most BUCKET_ELEMENTS, or one row."""
    pieces = []
    for (_, _, elements), indexes in members.items():
        rows = max(1, BUCKET_ELEMENTS // elements) if elements > 0 else len(indexes)
        pieces += [indexes[start : start + rows] for start in range(0, len(indexes), rows)]
    return pieces


def _split_names(
    params: Union[NamedParameters, Iterable[Dict[str, Any]]],
) -> Tuple[List[Dict[str, Any]], List[List[str]]]:
    """Parameter groups without names, and the names (or positions) of each group's parameters."""
    given = list(params)
    if not given:
        raise ValueError("ScaledAdam got no parameters; give it model.named_parameters().")
    own = [dict(group) for group in given if isinstance(group, dict)]
    groups = own if isinstance(given[0], dict) else [{"params": given}]
    names = []
    for group in groups:
        members = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        pairs = [p if isinstance(p, tuple) else (f"#{i}", p) for i, p in enumerate(members)]
        names.append([name for name, _ in pairs])
        group["params"] = [param for _, param in pairs]
    return groups, names


def _update(group: Dict[str, Any], buckets: Sequence[_Bucket], factor: Optional[Tensor], workspace: _Workspace) -> None:
    """One step of buckets that are all of scalars or all not, with their gradients multiplied by `factor`."""
    now = workspace.load(buckets)
    if factor is not None:
        # After a factor of 0 what is left of infinities is NaN; with any other factor all gradients are finite.
        now.grad.mul_(factor).nan_to_num_(nan=0.0)
    states = [bucket.state for bucket in buckets]
    for state, values in zip(states, now.values_of):
        if "step" not in state:
            _init_state(group, state, values)
    step, is_scalar = states[0]["step"], buckets[0].is_scalar
    beta1, beta2 = group["betas"]
    scale_steps: List[Optional[Tensor]] = [None] * len(buckets)
    if not is_scalar:
        torch.mul(now.values, now.grad, out=now.denominator)
        scale_steps = [_learn_scale(group, *row) for row in zip(states, now.values_of, now.denominators_of)]

    mean_squares = [state["exp_avg_sq"] for state in states]
    torch._foreach_mul_(mean_squares, beta2)
    torch._foreach_addcmul_(mean_squares, now.grads_of, now.grads_of, 1.0 - beta2)
    correction = 1.0 - beta2 ** (step + 1)
    correction = correction**0.5 if correction < FULL_BIAS_CORRECTION else 1.0
    # grad / (sqrt(mean_square) / correction + eps), with the division by the correction moved into the step size
    for mean_square, denominator in zip(mean_squares, now.denominators_of):
        torch.sqrt(mean_square, out=denominator)
    now.denominator.add_(group["eps"] * correction)
    step_size = group["lr"] * correction * (1.0 - beta1)
    if is_scalar:
        step_size *= group["scalar_lr_scale"]
    else:
        for state, grad in zip(states, now.grads_of):
            grad.mul_(state["param_rms"].clamp(min=group["param_min_rms"]))
    deltas = [state["delta"] for state in states]
    torch._foreach_mul_(deltas, beta1)
    torch._foreach_addcdiv_(deltas, now.grads_of, now.denominators_of, -step_size)
    for delta, values, scale_step in zip(deltas, now.values_of, scale_steps):
        if scale_step is not None:
            delta.addcmul_(values, scale_step, value=1.0 - beta1)
    _move(buckets, deltas, group["scalar_max"] if is_scalar else None)
    for state in states:
        state["step"] = step + 1


def _move(buckets: Sequence[_Bucket], deltas: Sequence[Tensor], bound: Optional[float]) -> None:
    """Add each row of the deltas to its parameter, which stays within `bound` where there is one."""
    params = [param for bucket in buckets for param in bucket.params]
    rows = [row for delta in deltas for row in delta]
    torch._foreach_add_(params, [row.view_as(param) for row, param in zip(rows, params)])
    if bound is not None:
        for param in params:
            param.clamp_(-bound, bound)


def _init_state(group: Dict[str, Any], state: Dict[str, Any], values: Tensor) -> None:
    state["step"] = 0
    state["exp_avg_sq"] = torch.zeros_like(values)
    state["delta"] = torch.zeros_like(values)
    if values.size(1) > 1:
        state["param_rms"] = _rms(values)
        state["scale_exp_avg_sq"] = torch.zeros_like(state["param_rms"])
        state["scale_grads"] = values.new_zeros(group["size_update_period"], values.size(0), 1)


def _rms(values: Tensor) -> Tensor:
    """Root mean square of each row, (rows, 1)."""
    return torch.linalg.vector_norm(values, dim=1, keepdim=True) / values.size(1) ** 0.5


def _learn_scale(group: Dict[str, Any], state: Dict[str, Any], values: Tensor, products: Tensor) -> Optional[Tensor]:
    """Note the gradient of each tensor's log scale; at the end of a period return the relative steps (rows, 1).

    `products` holds value times gradient, which sums to the gradient of the log scale.
    """
    period, step = group["size_update_period"], state["step"]
    scale_grads = state["scale_grads"]
    scale_grads[step % period] = products.sum(dim=1, keepdim=True)
    if step % period != period - 1:
        return None
    rms = state["param_rms"].copy_(_rms(values))
    if step == 0:
        return None
    beta2 = group["betas"][1] ** period
    mean_square = state["scale_exp_avg_sq"]
    mean_square.mul_(beta2).add_(scale_grads.square().mean(dim=0), alpha=1.0 - beta2)
    correction = (1.0 - beta2 ** ((step + 1) // period)) ** 0.5
    size_lr = group["lr"] * group["scalar_lr_scale"]
    scale_step = scale_grads.sum(dim=0).mul_(-size_lr * correction).div_(mean_square.sqrt().add_(group["eps"]))
    scale_step.masked_fill_(rms < group["param_min_rms"], 0.0).clamp_(-0.1, 0.1)
    return torch.minimum(scale_step, (group["param_max_rms"] - rms) / rms)


def _clipping_factor(group: Dict[str, Any], buckets: Sequence[_Bucket]) -> Optional[Tensor]:
    """What to multiply gradients with: below 1 if their norm is far above the recent median, 0 if it is infinite."""
    state = buckets[0].state
    step = state.get("step", 0)
    if group["clipping_scale"] is None or step == 0:
        return None
    period = group["clipping_update_period"]
    squares = _scaled_norms(group, buckets).square_()
    norm = squares.sum().sqrt()
    if "model_norms" not in state:
        state["model_norms"] = norm.new_zeros(period)
        state["num_clipped"] = norm.new_zeros(())
        state["worst_clip"] = norm.new_tensor([1.0, 0.0, 0.0])
    state["model_norms"][step % period] = norm
    early = step in EARLY_CLIPPING_UPDATES and step < period
    if early or step % period == 0:
        _renew_threshold(group, buckets, step if early else period, early)
    if "model_norm_threshold" not in state:
        return None
    factor = (state["model_norm_threshold"] / (norm + 1.0e-20)).clamp(max=1.0).nan_to_num_(nan=0.0)
    if factor.device.type == "cpu" and float(factor) == 1.0:
        return None
    state["num_clipped"].add_(factor < 1.0)
    largest = squares.max(dim=0)
    now = torch.stack([factor, largest.indices.to(factor.dtype), largest.values / norm.square()])
    state["worst_clip"].copy_(torch.where(factor < state["worst_clip"][0], now, state["worst_clip"]))
    return factor


def _scaled_norms(group: Dict[str, Any], buckets: Sequence[_Bucket]) -> Tensor:
    """Norm of each parameter's gradient in units of what a step changes, (parameters,), bucket by bucket."""
    norms = torch.stack(torch._foreach_norm([grad for bucket in buckets for grad in bucket.grads]))
    units = [
        norms.new_full((len(bucket.params),), group["scalar_lr_scale"])
        if bucket.is_scalar
        else bucket.state["param_rms"].squeeze(1)
        for bucket in buckets
    ]
    return norms.mul_(torch.cat(units))


def _renew_threshold(group: Dict[str, Any], buckets: Sequence[_Bucket], count: int, early: bool) -> None:
    """Set the threshold from the last `count` norms, and report them and what was clipped since the last time."""
    state = buckets[0].state
    norms = state["model_norms"].sort().values[-count:]
    quartiles = norms[[min(count - 1, count // 4 * n) for n in range(5)]]
    threshold = group["clipping_scale"] * quartiles[2] * (2.0 if early else 1.0)
    worst, index, share = state["worst_clip"].tolist()
    shown = quartiles.tolist()
    if not (shown[2] - shown[2] == 0.0):
        raise RuntimeError(
            f"half of the last {count} gradient norms are not finite; lower the learning rate or look for bad cuts."
        )
    clipped = 100.0 * float(state["num_clipped"]) / count
    message = (
        f"grad-norm quartiles {' '.join(f'{value:.3e}' for value in shown)}, clipping_scale {group['clipping_scale']}, "
        f"threshold {float(threshold):.3e}, percent clipped {clipped:.1f}"
    )
    if worst < 1.0:
        names = [name for bucket in buckets for name in bucket.names]
        message += f"; smallest factor {worst:.3g} with {100.0 * share:.0f} % of the square from {names[int(index)]}"
    logging.info(message)
    state["model_norm_threshold"] = threshold
    state["num_clipped"].zero_()
    state["worst_clip"] = torch.tensor([1.0, 0.0, 0.0], dtype=norms.dtype, device=norms.device)
