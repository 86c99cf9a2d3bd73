"""Whether an encoder that is frozen for a time learns nothing in it."""


def learns(system, batch):
    """Whether anything of the encoder gets a gradient, in the only step in which it is frozen and in the next one."""
    system.train().frozen_steps = 1
    found = []
    for step in (0, 1):
        system.forward(batch, step).mean.backward()
        gradients = [one.grad for one in system.network.encoder.parameters()]
        found.append(any(one is not None and bool(one.any()) for one in gradients))
    return found
