"""The PyTorch runtime: a model rewritten to predict the same in less time."""

from __future__ import annotations

from maskwright.inference.engine.engine import Engine, EnginePrecision, SemanticEngine, make_engine

__all__ = ["Engine", "EnginePrecision", "SemanticEngine", "make_engine"]
