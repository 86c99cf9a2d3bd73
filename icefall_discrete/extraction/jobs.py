"""The shards of a split in several jobs at once: the processes of torchrun, or tasks of an executor such as Dask's.

The jobs share nothing but a file system. A job that failed or was killed is started again by its launcher, or by the
user with the same command, and goes on where it was.
"""

import contextlib
import dataclasses
import os
import threading
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping

from lhotse import MonoCut

from icefall_discrete.extraction.extract import ExtractionConfig, extract
from icefall_discrete.extraction.sharding import merge_shards, wait_for_shards

# A worker of Dask may run several tasks in threads, but random seeds and numbers of threads belong to the process.
_ONE_AT_A_TIME = threading.Lock()


def in_group(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun started this process as one of several."""
    return int(environment.get("WORLD_SIZE", "1")) > 1


def config_of_process(config: ExtractionConfig, environment: Mapping[str, str] = os.environ) -> ExtractionConfig:
    """The settings of this process of torchrun's: its shard is its rank. Its device is chosen by encode_workers.placed.

    Raises ValueError if shards are set as well.
    """
    if config.num_shards != 1:
        raise ValueError("torchrun's processes are the shards; leave out --num-shards and --shard-id.")
    return dataclasses.replace(config, num_shards=int(environment["WORLD_SIZE"]), shard_id=int(environment["RANK"]))


def extract_in_group(
    cuts: Iterable[MonoCut],
    make_tokenizer: Callable[[], Any],
    out_dir: Path,
    split: str,
    config: ExtractionConfig,
    seed: int = 0,
) -> Dict[str, Any]:
    """Extract the shard of this process; the first one waits for the others and merges. See `extract`.

    Waiting looks at files and has no time limit; if a process fails, torchrun ends the others.
    """
    own = config_of_process(config)
    figures = extract(cuts, make_tokenizer, out_dir, split, own, seed)
    if own.shard_id != 0:
        return figures
    wait_for_shards(out_dir, split, own.num_shards)
    return merge_shards(out_dir, split, own.num_shards)


def _extract_shard(
    read_cuts: Callable[[], Iterable[MonoCut]],
    make_tokenizer: Callable[[], Any],
    out_dir: Path,
    split: str,
    config: ExtractionConfig,
    seed: int,
) -> int:
    with _ONE_AT_A_TIME:
        return extract(read_cuts(), make_tokenizer, out_dir, split, config, seed)["num_cuts"]


def extract_with(
    executor: Executor,
    read_cuts: Callable[[], Iterable[MonoCut]],
    make_tokenizer: Callable[[], Any],
    out_dir: Path,
    split: str,
    config: ExtractionConfig,
    seed: int = 0,
) -> Dict[str, Any]:
    """Extract `config.num_shards` shards, each a task of `executor`, as lhotse's executors; then merge. See `extract`.

    Args:
      executor: of concurrent.futures, or one that behaves so, such as `dask.distributed.Client(...).get_executor()`.
      read_cuts: reads the cuts of the split in a worker; picklable, such as a functools.partial of load_cuts.
    Raises:
      ValueError: if the settings ask for processes or a shard in each task. Whatever a task raised.
    """
    if config.nj != 1 or config.shard_id != 0:
        raise ValueError("the workers are the processes: leave out --nj and --shard-id.")
    if config.num_shards == 1:
        return executor.submit(extract, read_cuts(), make_tokenizer, out_dir, split, config, seed).result()
    shards = [dataclasses.replace(config, shard_id=shard_id) for shard_id in range(config.num_shards)]
    tasks = [
        executor.submit(_extract_shard, read_cuts, make_tokenizer, out_dir, split, shard, seed) for shard in shards
    ]
    for task in tasks:
        task.result()
    return merge_shards(out_dir, split, config.num_shards)


@contextlib.contextmanager
def dask_client(scheduler: str, num_workers: int) -> Iterator[Any]:
    """A client of the Dask scheduler at the address `scheduler`, or, if that is empty, of `num_workers` local workers.

    Raises ImportError, with what to install, if there is no dask.distributed.
    """
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError(f"Dask cannot be imported ({error}); run `pip install 'icefall-discrete[dask]'`.") from None
    if scheduler:
        with Client(scheduler) as client:
            yield client
        return
    workers = LocalCluster(n_workers=num_workers, threads_per_worker=1, dashboard_address=None)
    with workers as cluster, Client(cluster) as client:
        yield client
