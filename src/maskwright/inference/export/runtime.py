"""An exported model as a `Runtime`: graphs for the networks, our shared code for the rest.

Shapes: b pictures, (H, W) of the padded batch, n boxes, c channels, s pooled side, k classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from maskwright.detectors import RCNN, BoxHead, FasterRCNN, FastRCNN
from maskwright.detectors.crop_network import CropNetwork
from maskwright.errors import ConfigError
from maskwright.inference.export.folder import ExportHeader, read_header
from maskwright.inference.export.graphs import DENSE, pooled_strides
from maskwright.inference.export.sessions import SESSIONS, GraphSession, open_session
from maskwright.mask_heads import ClassMapHead, MaskHead, MaskRCNNHead, Prototypes, Refined
from maskwright.model import InstanceSegmenter, SemanticSegmenter
from maskwright.model.class_maps import class_maps_of
from maskwright.model.picture_batches import collate_pictures
from maskwright.model.segmenter import in_original_frame, mask_head_channels
from maskwright.structures import Batch, Dense, Instances
from maskwright.transforms import resized_size

__all__ = [
    "REST_OF_DETECTOR",
    "ExportedSegmenter",
    "ExportedSemanticSegmenter",
    "load_exported",
    "run_graph",
    "runtime_for",
]

REST_OF_DETECTOR = "detector.safetensors"
"""R-CNN's classifiers, which are applied to what its graph says: two small matrices."""


class _Exported:
    """What exported models of both kinds share.

    Args:
        header: What the folder says.
        sessions: Its graphs by name.
    """

    def __init__(self, header: ExportHeader, sessions: Mapping[str, GraphSession]) -> None:
        self.header = header
        self.sessions = sessions
        self.class_names = header.class_names
        self.category_ids = header.category_ids
        self._mean = torch.tensor(header.pixel_mean).view(3, 1, 1)

    def collate(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Batch:
        """Resize RGB pictures and pad them to one batch, as the model does.

        Raises:
            ImageError: Not (h, w, 3) uint8, or without pixels.
        """
        config = self.header.model
        return collate_pictures(
            images,
            size_of=partial(
                resized_size,
                short_side=config.short_side,
                long_side=config.long_side,
                fixed_size=config.fixed_size,
            ),
            size_multiple=config.size_multiple,
            device=torch.device("cpu"),
        )

    def _dense(self, batch: Batch) -> Dense:
        """Return what the graph of whole pictures says."""
        if DENSE not in self.sessions:
            return {}
        images = batch.images.float().clone()
        for image, (height, width) in zip(images, batch.image_sizes, strict=True):
            # the mean becomes zero, as padding has it behind the model's normalisation
            image[:, height:] = self._mean
            image[:, :, width:] = self._mean
        return run_graph(self.sessions[DENSE], {"images": images})


class ExportedSegmenter(_Exported):
    """Predicts what the exported `InstanceSegmenter` did: a `Runtime`.

    Args:
        header: What the folder says.
        sessions: Its graphs by name.
        rest: Tensors of the detector that are in no graph.
    """

    def __init__(
        self,
        header: ExportHeader,
        sessions: Mapping[str, GraphSession],
        rest: Mapping[str, Tensor],
    ) -> None:
        super().__init__(header, sessions)
        config = header.model
        assert isinstance(config, InstanceSegmenter.Config)
        self.config = config
        count = len(header.class_names)
        self.detector = config.detector.build(header.channels, count).eval()
        if isinstance(self.detector, FasterRCNN | FastRCNN):
            self.detector.box_head = _GraphBoxHead(self.detector.box_head, sessions["boxes"])
        elif isinstance(self.detector, RCNN):
            self.detector.load_state_dict(dict(rest), strict=False)
            self.detector.network = _GraphCropNetwork(self.detector.network, sessions["crops"])
        head = None
        if config.mask_head is not None:
            channels = mask_head_channels(config, header.channels)
            head = config.mask_head.build(channels, count).eval()
        self._strides = pooled_strides(self.detector, head)
        self.mask_head = None if head is None else _on_graphs(head, sessions)

    @property
    def picture_side(self) -> int:
        """Short side, in pixels, of the pictures it knows."""
        config = self.config
        return config.picture_side or min(config.fixed_size or (config.short_side,))

    @property
    def object_side(self) -> int | None:
        """Side of large objects in the pictures it was trained on, in pixels, where known."""
        return self.config.object_side

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Instances]:
        """Return the objects of each picture, in the frame of the original pictures."""
        dense = self._dense(batch)
        # stored with channels last; as a view that pools by bags
        features = {
            stride: dense[f"features_{stride}"].permute(0, 3, 1, 2) for stride in self._strides
        }
        detections = self.detector.detect_from(dense, features, batch)
        crops: Sequence[Tensor | None] = [None] * len(detections)
        if self.mask_head is not None:
            crops = self.mask_head.crops_from(dense, features, detections)
        return [
            in_original_frame(found, crop, original, self.class_names, self.category_ids)
            for found, crop, original in zip(detections, crops, batch.original_sizes, strict=True)
        ]

    @torch.no_grad()
    def class_maps(self, batch: Batch) -> list[Int32[np.ndarray, "_ _"]]:
        """Return the class of each pixel of the originals, by the mask heads that have a map.

        Raises:
            ConfigError: The mask head draws boxes one by one and has no class map.
        """
        if not isinstance(self.mask_head, ClassMapHead):
            kind = "none" if self.config.mask_head is None else self.config.mask_head.kind
            raise ConfigError(
                f"a class map needs the mask head 'fcn' or 'deeplab', this model has {kind!r}"
            )
        return class_maps_of(self._dense(batch)["class_logits"], batch)


class ExportedSemanticSegmenter(_Exported):
    """Predicts what the exported `SemanticSegmenter` did: a `SemanticRuntime`."""

    @torch.no_grad()
    def class_maps(self, batch: Batch) -> list[Int32[np.ndarray, "_ _"]]:
        """Return the class of each pixel of the originals: 0 background, label + 1."""
        return class_maps_of(self._dense(batch)["class_logits"], batch)


def load_exported(
    folder: str | os.PathLike[str],
    runtime: str = "auto",
    device: torch.device | None = None,
    *,
    wrap: Callable[[GraphSession], GraphSession] | None = None,
) -> ExportedSegmenter | ExportedSemanticSegmenter:
    """Return the exported model of a folder of graphs; `open_exported` also takes end-to-end ones.

    Args:
        folder: That `maskwright export` wrote, not end-to-end.
        runtime: "onnx" (ONNX Runtime), "openvino", which reads both of these formats, or "torch"
            for torch-export; "auto" takes that of the folder's format.
        device: Where it runs; None means the cpu.
        wrap: Put around every graph, to watch what it is given.

    Raises:
        CheckpointError: Parts are missing or damaged, it is of another version, or the runtime
            cannot read it.
        ConfigError: A runtime that does not read the folder's format, or not on that device.
    """
    folder = Path(folder)
    header = read_header(folder)
    name = runtime_for(folder, header, runtime)
    sessions = {
        key: open_session(
            name, folder / next(iter(each.files)), device or torch.device("cpu"), (*each.outputs,)
        )
        for key, each in header.graphs.items()
        if each.outputs
    }
    if wrap is not None:
        sessions = {key: wrap(each) for key, each in sessions.items()}
    if isinstance(header.model, SemanticSegmenter.Config):
        return ExportedSemanticSegmenter(header, sessions)
    rest = folder / REST_OF_DETECTOR
    return ExportedSegmenter(header, sessions, load_file(rest) if rest.is_file() else {})


def run_graph(session: GraphSession, inputs: Mapping[str, Tensor]) -> Dense:
    """Return the outputs of a graph as tensors."""
    arrays = {name: each.contiguous().cpu().numpy() for name, each in inputs.items()}
    return {name: torch.from_numpy(each) for name, each in session.run(arrays).items()}


def runtime_for(folder: Path, header: ExportHeader, runtime: str) -> str:
    """Return what runs a folder's graphs: what was asked for, or with "auto" the usual.

    Raises:
        ConfigError: A runtime that does not run them.
    """
    able = [name for name, (formats, _) in SESSIONS.items() if header.to in formats]
    if header.precision == "int8" or header.end_to_end:
        able = able[:1]  # what the gate has measured: others round in other places
    if runtime == "auto":
        return able[0]
    if runtime not in able:
        raise ConfigError(
            f"{folder} was exported to {header.to} in {header.precision}, which runtime "
            f"{runtime!r} does not run: take {' or '.join(map(repr, able))}"
        )
    return runtime


class _GraphOfBoxes(nn.Module):
    """A graph on pooled features that stands for a module; without boxes it is not asked."""

    def __init__(self, session: GraphSession, output: str) -> None:
        super().__init__()
        self.session, self.output = session, output

    def forward(self, pooled: Float[Tensor, "n c s s"]) -> Tensor:
        pooled = pooled.permute(0, 2, 3, 1)
        return run_on_boxes(self.session, {"pooled": pooled})[self.output]


class _GraphBoxHead(BoxHead):
    def __init__(self, head: BoxHead, session: GraphSession) -> None:
        nn.Module.__init__(self)
        self.config, self.strides, self.session = head.config, head.strides, session

    def classify(self, pooled: Float[Tensor, "r c s s"]) -> tuple[Tensor, Tensor]:
        found = run_on_boxes(self.session, {"pooled": pooled.permute(0, 2, 3, 1)})
        return found["logits"], found["deltas"]


def _on_graphs(head: MaskHead, sessions: Mapping[str, GraphSession]) -> MaskHead:
    """Put graphs in the places of a mask head's layers on boxes."""
    if isinstance(head, MaskRCNNHead):
        return _GraphMaskRCNNHead(head, sessions["masks"])
    if isinstance(head, Prototypes):
        head.coefficients = nn.Sequential(_GraphOfBoxes(sessions["mixing"], "coefficients"))
    elif isinstance(head, Refined):
        head.coarse = _on_graphs(head.coarse, sessions)
        head.correction = nn.Sequential(_GraphOfBoxes(sessions["refining"], "change"))
    return head


class _GraphMaskRCNNHead(MaskRCNNHead):
    def __init__(self, head: MaskRCNNHead, session: GraphSession) -> None:
        nn.Module.__init__(self)
        self.config, self.strides, self.session = head.config, head.strides, session

    def draw(self, pooled: Float[Tensor, "r c p p"], labels: Int64[Tensor, " r"]) -> Tensor:
        inputs = {"pooled": pooled.permute(0, 2, 3, 1), "labels": labels}
        return run_on_boxes(self.session, inputs)["logits"]


class _GraphCropNetwork(CropNetwork):
    def __init__(self, network: CropNetwork, session: GraphSession) -> None:
        nn.Module.__init__(self)
        self.warp_size, self.context = network.warp_size, network.context
        self.num_features, self.session = network.num_features, session
        for name in ("pixel_mean", "pixel_std"):
            self.register_buffer(name, getattr(network, name), persistent=False)

    def describe_crops(self, crops: Float[Tensor, "r 3 s s"]) -> Tensor:
        return run_on_boxes(self.session, {"crops": crops})["features"]


def run_on_boxes(session: GraphSession, inputs: Mapping[str, Tensor]) -> Dense:
    """Return the outputs of a graph on n boxes, in lots of a few sizes.

    n is filled up to one of eight steps between powers of two, so that a runtime which prepares
    itself for every shape sees few of them; the rows that were added are taken off. Without boxes
    one row is run and dropped: not every runtime takes arrays without elements.
    """
    count = len(next(iter(inputs.values())))
    step = max(1, (1 << max(0, count - 1).bit_length()) // 16)
    wanted = max(1, -(-count // step) * step)
    filled = {name: _filled(each, wanted) for name, each in inputs.items()}
    return {name: each[:count] for name, each in run_graph(session, filled).items()}


def _filled(rows: Tensor, wanted: int) -> Tensor:
    missing: Any = (wanted - len(rows), *rows.shape[1:])
    return torch.cat((rows, rows.new_zeros(missing))) if missing[0] else rows
