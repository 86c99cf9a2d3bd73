"""Latents of a codec with residual quantisation: sums of the vectors of a frame's codes, and back to codes.

Letters: N utterances, T frames, K codebooks of V_k vectors of D dimensions.
"""

from typing import List, Sequence

import torch
from torch import Tensor, nn


class Latents(nn.Module):
    """The codebooks, scaled so that the dimensions of latents have variance 1 where codes are equally frequent.

    Args:
      codebooks: K tensors (V_k, D).
    Raises:
      ValueError: if they are of different dimensions, so that there are no sums.
    """

    def __init__(self, codebooks: Sequence[Tensor]) -> None:
        super().__init__()
        dims = [book.shape[1] for book in codebooks]
        if len(set(dims)) > 1:
            raise ValueError(
                f"the codebooks have vectors of {', '.join(map(str, dims))} dimensions, so that latents are no sums of "
                "them; take codes of residual quantisation, or --filling soundstorm."
            )
        wide = [book.to(torch.float32) for book in codebooks]
        variance = sum(float(book.var(dim=0, unbiased=False).mean()) for book in wide)
        mean = sum(book.mean(dim=0) for book in wide)
        for number, book in enumerate(wide):
            centred = book - mean if number == 0 else book  # the mean of sums is 0 then
            self.register_buffer(f"book{number}", centred / max(variance, 1e-12) ** 0.5, persistent=False)
        self._num = len(wide)

    @property
    def dim(self) -> int:
        """D."""
        return int(self.books[0].shape[1])

    @property
    def books(self) -> List[Tensor]:
        """The scaled codebooks (V_k, D)."""
        return [getattr(self, f"book{number}") for number in range(self._num)]

    def of(self, codes: Tensor) -> Tensor:
        """Latents (..., D) of codes (..., K'), those of the first K' codebooks; padding ids count as the last code."""
        found = torch.zeros((), device=codes.device)
        for book, ids in zip(self.books, codes.unbind(dim=-1)):
            found = found + book[ids.clamp(max=len(book) - 1)]
        return found

    def codes_of(self, latents: Tensor, first: Tensor) -> Tensor:
        """Codes (..., K) of latents (..., D) whose codes of the first codebook, `first` (...), are known.

        As residual quantisation does it: of each codebook the vector that is nearest to what is left over.
        """
        left, found = latents - self.of(first.unsqueeze(-1)), [first]
        for book in self.books[1:]:
            nearest = (book.square().sum(dim=1) - 2 * left @ book.t()).argmin(dim=-1)
            left = left - book[nearest]
            found.append(nearest)
        return torch.stack(found, dim=-1)
