"""Which output is which source: against every order, tried by hand."""

import itertools

import torch

from icefall_discrete.losses.permutation import best_assignment, code_costs


def some(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_costs(log_probs, codes, lens):
    """Nats of each target under each output, one by one."""
    size = codes.shape[2]
    costs = torch.zeros(len(codes), size, size, dtype=torch.float64)
    for n, i, j in itertools.product(range(len(codes)), range(size), range(size)):
        for t, (book, scores) in itertools.product(range(int(lens[n])), enumerate(log_probs)):
            costs[n, i, j] -= scores[n, t, i, codes[n, t, j, book]]
    return costs


def test_it_is_the_least_of_all_orders_and_padding_takes_no_part():
    sizes, lens = (3, 5), torch.tensor([4, 2])
    log_probs = [some(book, 2, 4, 3, size).log_softmax(dim=3) for book, size in enumerate(sizes)]
    codes = torch.stack(
        [torch.randint(size, (2, 4, 3), generator=torch.Generator().manual_seed(3)) for size in sizes], 3
    )
    codes[1, 2:] = torch.tensor(sizes)
    costs = code_costs(log_probs, codes, lens)
    torch.testing.assert_close(costs, plain_costs(log_probs, codes, lens))
    found = best_assignment(costs)
    for n in range(2):
        sums = {order: sum(costs[n, i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(3))}
        assert tuple(found.orders[n].tolist()) == min(sums, key=sums.get)
        torch.testing.assert_close(found.costs[n], min(sums.values()))
    order = [2, 0, 1]
    moved = best_assignment(code_costs([one[:, :, order] for one in log_probs], codes, lens))
    torch.testing.assert_close(moved.costs, found.costs)


def test_one_source_is_plain_cross_entropy():
    scores, codes = some(0, 2, 4, 1, 6).requires_grad_(), torch.randint(6, (2, 4, 1, 1))
    found = best_assignment(code_costs([scores.log_softmax(dim=3)], codes, torch.tensor([4, 4])))
    expected = torch.nn.functional.cross_entropy(scores.flatten(0, 2), codes.flatten(), reduction="sum")
    torch.testing.assert_close(found.costs.sum(), expected)
    ours, theirs = (torch.autograd.grad(one, scores)[0] for one in (found.costs.sum(), expected))
    torch.testing.assert_close(ours, theirs)
