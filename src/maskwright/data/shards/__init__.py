"""Datasets as tar shards in WebDataset's layout, for training from object storage."""

from __future__ import annotations

from maskwright.data.shards.loader import ShardLoader
from maskwright.data.shards.writing import write_shards

__all__ = ["ShardLoader", "write_shards"]
