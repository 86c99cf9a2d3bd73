"""ScaledAdam: Adam whose steps are proportional to the size of each parameter tensor, and which learns that size.

Source: the Zipformer paper, https://arxiv.org/abs/2310.11230 (ScaledAdam), with icefall's constants, and with gradient
clipping by the median of recent gradient norms.
"""

import logging
from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Union

import torch
from torch import Tensor
from torch.optim import Optimizer

from icefall_discrete.training.optimization import OtherGroups
from icefall_discrete.training.stacked_parameters import Plan, Stack, Workspace, made_plan

# Early updates of the clipping threshold, in steps: norms change fast at first, so it is not left unset for a period.
EARLY_CLIPPING_UPDATES = (10, 20, 40)
FULL_BIAS_CORRECTION = 0.99
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


class ScaledAdam(Optimizer):
    """Adam in units of each tensor's root mean square, with a learned scale for each tensor.

    On a CPU parameters with equally many elements are stacked, so that a step is a few operations for each size and not
    for each parameter. On a device all are, in a workspace of three times the parameters, and a step never waits for
    it, except when the clipping threshold is renewed and reported.

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
        self._workspace = Workspace()
        self._plans: Dict[int, Plan] = {}

    @torch.no_grad()
    def step(self, closure: Optional[Callable[[], Any]] = None) -> Any:
        """Take one step; a parameter without gradient counts as having a gradient of zero."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for index, group in enumerate(self.param_groups):
            plan = self._plan(index, group)
            for stack in plan.stacks:
                stack.collect()
                if stack.is_new:
                    stack.begin(_first_state(group, stack))
            factor = _clipping_factor(group, plan)
            for stack in plan.stacks:
                _update(group, stack, factor)
        return loss

    def state_dict(self) -> Dict[str, Any]:
        """What `load_state_dict` restores: of the same names and shapes on every device."""
        packed = super().state_dict()
        if any(plan.on_device for plan in self._plans.values()):
            packed["state"] = {
                param: {name: _whole(value) for name, value in state.items()}
                for param, state in packed["state"].items()
            }
        return packed

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore what `state_dict` gave. Raises OtherGroups if that is of other groups of parameters."""
        was, now = ([len(group["params"]) for group in groups] for groups in (state["param_groups"], self.param_groups))
        if was != now:
            raise OtherGroups(f"its optimizer has groups of {was} parameters, here they are of {now}")
        super().load_state_dict(state)

    def _plan(self, index: int, group: Dict[str, Any]) -> Plan:
        """How the parameters of a group are stacked: as in the step before, while they are the same."""
        plan = self._plans.get(index)
        if plan is None or not plan.holds_for(group["params"], self.state):
            names = self.parameter_names[index]
            plan = self._plans[index] = made_plan(group["params"], names, self.state, self._workspace)
        return plan


def _whole(value: Any) -> Any:
    """The same, if it is a tensor in memory of its own, so that a file does not hold all that it is a view of."""
    return value.clone(memory_format=torch.contiguous_format) if isinstance(value, Tensor) else value


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


def _update(group: Dict[str, Any], stack: Stack, factor: Optional[Tensor]) -> None:
    """One step of the parameters of a stack, with their gradients multiplied by `factor`."""
    grad, values, denominator = stack.matrices()
    if factor is not None:
        # After a factor of 0 what is left of infinities is NaN; with any other factor all gradients are finite.
        grad.mul_(factor).nan_to_num_(nan=0.0)
    state = stack.state
    beta1, beta2 = group["betas"]
    scale_step = None
    if not stack.is_scalar:
        scale_step = _learn_scale(group, stack, values, torch.mul(values, grad, out=denominator))

    mean_square = state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1.0 - beta2)
    correction = 1.0 - beta2 ** (state["step"] + 1)
    correction = correction**0.5 if correction < FULL_BIAS_CORRECTION else 1.0
    # grad / (sqrt(mean_square) / correction + eps), with the division by the correction moved into the step size
    torch.sqrt(mean_square, out=denominator).add_(group["eps"] * correction)
    step_size = group["lr"] * correction * (1.0 - beta1)
    if stack.is_scalar:
        step_size *= group["scalar_lr_scale"]
    else:
        grad.mul_(stack.spread(state["param_rms"].clamp(min=group["param_min_rms"])))
    delta = state["delta"].mul_(beta1).addcdiv_(grad, denominator, value=-step_size)
    if scale_step is not None:
        delta.addcmul_(values, stack.spread(scale_step), value=1.0 - beta1)
    if stack.is_scalar:
        stack.move_within(delta, values, group["scalar_max"])
    else:
        stack.move(delta, values)
    stack.advance()


def _first_state(group: Dict[str, Any], stack: Stack) -> Dict[str, Any]:
    _, values, _ = stack.matrices()
    state: Dict[str, Any] = {"step": 0, "exp_avg_sq": torch.zeros_like(values), "delta": torch.zeros_like(values)}
    if not stack.is_scalar:
        rms = stack.row_rms(values)
        state["param_rms"] = rms
        state["scale_exp_avg_sq"] = torch.zeros_like(rms)
        state["scale_grads"] = rms.new_zeros(group["size_update_period"], *rms.shape)
    return state


def _learn_scale(group: Dict[str, Any], stack: Stack, values: Tensor, products: Tensor) -> Optional[Tensor]:
    """Note the gradient of each tensor's log scale; at the end of a period return the relative steps (parameters, 1).

    `products` holds value times gradient, which sums to the gradient of the log scale.
    """
    state = stack.state
    period, step = group["size_update_period"], state["step"]
    scale_grads = state["scale_grads"]
    scale_grads[step % period] = stack.row_sums(products)
    if step % period != period - 1:
        return None
    rms = state["param_rms"].copy_(stack.row_rms(values))
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


def _clipping_factor(group: Dict[str, Any], plan: Plan) -> Optional[Tensor]:
    """What to multiply gradients with: below 1 if their norm is far above the recent median, 0 if it is infinite."""
    state = plan.state
    step = state["step"]
    if group["clipping_scale"] is None or step == 0:
        return None
    period = group["clipping_update_period"]
    squares = _scaled_norms(group, plan).square_()
    norm = squares.sum().sqrt()
    if "model_norms" not in state:
        state["model_norms"] = norm.new_zeros(period)
        state["num_clipped"] = norm.new_zeros(())
        state["worst_clip"] = norm.new_tensor([1.0, 0.0, 0.0])
    state["model_norms"][step % period] = norm
    early = step in EARLY_CLIPPING_UPDATES and step < period
    if early or step % period == 0:
        _renew_threshold(group, plan, step if early else period, early)
    if "model_norm_threshold" not in state:
        return None
    factor = (state["model_norm_threshold"] / (norm + 1.0e-20)).clamp(max=1.0).nan_to_num_(nan=0.0)
    if not plan.on_device and float(factor) == 1.0:
        return None
    state["num_clipped"].add_(factor < 1.0)
    largest = squares.max(dim=0)
    now = torch.stack([factor, largest.indices.to(factor.dtype), largest.values / norm.square()])
    state["worst_clip"].copy_(torch.where(factor < state["worst_clip"][0], now, state["worst_clip"]))
    return factor


def _scaled_norms(group: Dict[str, Any], plan: Plan) -> Tensor:
    """Norm of each parameter's gradient in units of what a step changes, (parameters,), bucket by bucket."""
    norms = [
        stack.grad_norms().mul_(group["scalar_lr_scale"] if stack.is_scalar else stack.state["param_rms"].squeeze(1))
        for stack in plan.stacks
    ]
    together = torch.cat(norms)
    return together if plan.order is None else together.index_select(0, plan.order)


def _renew_threshold(group: Dict[str, Any], plan: Plan, count: int, early: bool) -> None:
    """Set the threshold from the last `count` norms, and report them and what was clipped since the last time."""
    state = plan.state
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
        name = plan.names[int(index)]
        message += f"; smallest factor {worst:.3g} with {100.0 * share:.0f} % of the square from {name}"
    logging.info(message)
    state["model_norm_threshold"] = threshold
    state["num_clipped"].zero_()
    state["worst_clip"] = torch.tensor([1.0, 0.0, 0.0], dtype=norms.dtype, device=norms.device)
