"""Which model predicts, as words: what another process needs to open the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.errors import ConfigError
from maskwright.inference.ensemble import load_ensemble
from maskwright.inference.loading import load, model_file
from maskwright.inference.predictor import Predictor

__all__ = ["ModelChoice"]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model, or several as one, and how they run.

    Args:
        model: As `load` takes it, and so are the others.
        weights: Of a torchvision network.
        device: None takes the best there is where the model is opened.
        tta: Test-time augmentation.
        ensemble: More models, which are fused with this one.
        ensemble_weights: Of the model and of each of those.
        runtime: What runs them.
        precision: What they compute in.
    """

    model: str
    weights: str | None = None
    device: str | None = None
    tta: str | None = None
    ensemble: tuple[str, ...] = ()
    ensemble_weights: tuple[float, ...] = ()
    runtime: str = "auto"
    precision: str = "fp32"

    def open(self) -> Predictor:
        """Load the model, or it and those of the ensemble as one.

        Raises:
            CheckpointError: A file is missing, damaged or of another version.
            ConfigError: Options that do not go together.
        """
        if not self.ensemble:
            if self.ensemble_weights:
                raise ConfigError("--ensemble-weights needs --ensemble with more models")
            return load(
                self.model,
                weights=self.weights,
                device=self.device,
                tta=self.tta,
                runtime=self.runtime,
                precision=self.precision,
            )
        if self.weights is not None:
            raise ConfigError(
                "--weights is of one torchvision model and does not go with --ensemble"
            )
        return load_ensemble(
            [self.model, *self.ensemble],
            weights=self.ensemble_weights or None,
            device=self.device,
            tta=self.tta,
            runtime=self.runtime,
            precision=self.precision,
        )

    def absolute(self) -> ModelChoice:
        """Return the choice with the paths of files as they are called from any folder."""
        return replace(
            self,
            model=_absolute(self.model),
            ensemble=tuple(_absolute(name) for name in self.ensemble),
            weights=None if self.weights is None else _absolute(self.weights),
        )

    def fingerprint(self) -> str:
        """Return a short text that changes with the files of the models."""
        digest = hashlib.blake2b(digest_size=8)
        for name in (self.model, *self.ensemble, self.weights or ""):
            digest.update(f"{name}\n".encode())
            if name and Path(name).exists():
                _add_files(digest, Path(name))
        return digest.hexdigest()


def _add_files(digest: hashlib.blake2b, path: Path) -> None:
    is_run = path.is_dir() and any(path.glob("*.safetensors"))
    path = model_file(path) if is_run else path
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name
