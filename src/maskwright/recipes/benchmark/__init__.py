"""Benchmarks of models on this machine: `maskwright bench`."""

from __future__ import annotations

from maskwright.recipes.benchmark.machine import machine_facts
from maskwright.recipes.benchmark.measuring import bench, measure_side_by_side, measure_sides
from maskwright.recipes.benchmark.models import BenchModel, open_bench_model
from maskwright.recipes.benchmark.pictures import bench_pictures, make_picture, parse_size
from maskwright.recipes.benchmark.process import SideProcess
from maskwright.recipes.benchmark.result import Bench, MeasuredSide, Ratio
from maskwright.recipes.benchmark.sides import SideSpec, our_sides, peer_side

__all__ = [
    "Bench",
    "BenchModel",
    "MeasuredSide",
    "Ratio",
    "SideProcess",
    "SideSpec",
    "bench",
    "bench_pictures",
    "machine_facts",
    "make_picture",
    "measure_side_by_side",
    "measure_sides",
    "open_bench_model",
    "our_sides",
    "parse_size",
    "peer_side",
]
