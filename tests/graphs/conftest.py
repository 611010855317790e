"""One cluster for all tests here: a scheduler and two workers, each a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dask.distributed import Client, LocalCluster


@pytest.fixture(scope="session")
def _cluster() -> Iterator[LocalCluster]:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None
    ) as cluster:
        yield cluster


@pytest.fixture
def client(_cluster: LocalCluster) -> Iterator[Client]:
    """A client of the cluster; while it is there, it is what computes."""
    with Client(_cluster) as client:
        client.wait_for_workers(2)
        yield client
