"""The passes of k-means over frames that a device holds: see clustering.py, which puts them together.

All are products of matrices, sums too, so that two runs on one device give the same bits (tested where that is a CPU);
products are of float32, not of TF32. Letters: M frames, D dimensions, V clusters.
"""

from typing import Callable, Iterator, Tuple

import numpy as np
import torch
from torch import Tensor

CHUNK_SCORES = 2**26  # distances that are held at once: 256 MiB
BATCH_FRAMES = 8192  # of a mini-batch


class DevicePasses:
    """Passes over frames (M, D) on `device`, which copies them: `fit_memory_mib` of the settings bounds both."""

    def __init__(self, frames: np.ndarray, device: torch.device) -> None:
        self._frames = torch.from_numpy(frames).to(device)
        self._squares = self._frames.square().sum(dim=1)

    def _on_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._frames)

    def _scores(self, frames: Tensor, centroids: Tensor) -> Tensor:
        """Half of the squared distances (M, V) without what all centroids share."""
        return 0.5 * centroids.square().sum(dim=1) - frames @ centroids.T

    def _chunks(self, num_clusters: int) -> Iterator[slice]:
        size = max(1, CHUNK_SCORES // num_clusters)
        return (slice(start, start + size) for start in range(0, len(self._frames), size))

    def begin(
        self, num_clusters: int, num_frames: int, num_passes: int, seed: int, done: Callable[[], object]
    ) -> np.ndarray:
        """Centroids (V, D) by k-means++ on `num_frames` frames drawn at random, then by passes of mini-batches."""
        generator = torch.Generator(self._frames.device).manual_seed(seed)
        centroids = self._start(num_clusters, num_frames, generator)
        done()
        counts = torch.zeros(num_clusters, dtype=torch.float64, device=centroids.device)
        means = centroids.double()
        for _ in range(num_passes):
            for rows in self._shuffled(generator).split(BATCH_FRAMES):
                self._move(means, counts, self._frames[rows])
            done()
        return means.float().cpu().numpy()

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self._frames), generator=generator, device=self._frames.device)

    def _start(self, num_clusters: int, num_frames: int, generator: torch.Generator) -> Tensor:
        """Greedy k-means++: of several candidates the one that leaves the least distance is taken.

        Arthur and Vassilvitskii 2007, "k-means++: the advantages of careful seeding", section 2.2 and conclusion.
        """
        kept = self._frames[self._shuffled(generator)[:num_frames]]
        frames = kept - kept.mean(dim=0)  # a large mean would cost the digits of distances
        squares = frames.square().sum(dim=1)
        candidates = 2 + int(np.log(num_clusters))
        chosen = [int(torch.randint(len(frames), (), generator=generator, device=frames.device))]
        left = self._distances(frames, squares, frames[chosen])[:, 0]
        for _ in range(num_clusters - 1):
            # Where all frames are centroids already, any will do.
            weights = torch.where(left.sum() > 0, left, torch.ones_like(left))
            # Efraimidis and Spirakis 2006: as drawn one by one, without a sum over all before, which on a device
            # is not the same at every run.
            draws = torch.empty_like(weights).exponential_(generator=generator)
            rows = (weights / draws).topk(min(candidates, len(weights))).indices
            after = torch.minimum(left.unsqueeze(1), self._distances(frames, squares, frames[rows]))
            best = after.sum(dim=0).argmin()
            chosen.append(int(rows[best]))
            left = after[:, best]
        return kept[chosen]

    @staticmethod
    def _distances(frames: Tensor, squares: Tensor, centroids: Tensor) -> Tensor:
        """Squared distances (M, V)."""
        products = squares.unsqueeze(1) + centroids.square().sum(dim=1) - frames @ (2.0 * centroids).T
        return products.clamp_(min=0.0)

    def _move(self, means: Tensor, counts: Tensor, batch: Tensor) -> None:
        """Each of `means` (V, D) is that of all frames that ever were nearest to it, `counts` (V,) of them before.

        Sculley 2010, "Web-scale k-means clustering", algorithm 1, a batch at a time.
        """
        members = self._members(self._scores(batch, means.float()).argmin(dim=1), len(means))
        new = members.sum(dim=1, dtype=torch.float64)
        counts += new
        means += ((members @ batch).double() - new.unsqueeze(1) * means) / counts.clamp(min=1.0).unsqueeze(1)

    @staticmethod
    def _members(ids: Tensor, num_clusters: int) -> Tensor:
        """Which frames (M,) belong to which cluster, (V, M) of float32."""
        return (ids == torch.arange(num_clusters, device=ids.device).unsqueeze(1)).float()

    def full_pass(self, centroids: np.ndarray) -> Tuple[np.ndarray, np.ndarray, float]:
        """See clustering.full_pass."""
        before = self._on_device(centroids)
        sums = torch.zeros(before.shape, dtype=torch.float64, device=before.device)
        counts = torch.zeros(len(before), dtype=torch.float64, device=before.device)
        total = torch.zeros((), dtype=torch.float64, device=before.device)
        for rows in self._chunks(len(before)):
            chunk = self._frames[rows]
            best, ids = self._scores(chunk, before).min(dim=1)
            members = self._members(ids, len(before))
            sums += members @ chunk
            counts += members.sum(dim=1, dtype=torch.float64)
            total += (2.0 * best + self._squares[rows]).clamp(min=0.0).sum(dtype=torch.float64)
        means = (sums / counts.clamp(min=1.0).unsqueeze(1)).float()
        moved = torch.where(counts.unsqueeze(1) > 0, means, before)
        return moved.cpu().numpy(), counts.long().cpu().numpy(), float(total) / len(self._frames)

    def errors_and_utilities(self, centroids: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """See clustering.errors_and_utilities."""
        here = self._on_device(centroids)
        found = torch.zeros(len(here), 2, dtype=torch.float64, device=here.device)
        for rows in self._chunks(len(here)):
            scores = self._scores(self._frames[rows], here)
            best, ids = scores.min(dim=1)
            second = scores.scatter_(1, ids.unsqueeze(1), float("inf")).min(dim=1).values
            squared = (2.0 * best + self._squares[rows]).clamp(min=0.0)
            grown = 2.0 * (second - best)
            found += self._members(ids, len(here)).double() @ torch.stack([squared, grown], dim=1).double()
        errors, utilities = found.cpu().numpy().T
        return errors, utilities
