"""The README of an exported model: how to call it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskwright.inference.export.folder import ExportHeader, GraphFiles
from maskwright.model import SemanticSegmenter

__all__ = ["write_instructions"]

_READERS = {
    "onnx": "ONNX Runtime (`pip install onnxruntime`), OpenVINO or any other reader of ONNX",
    "openvino": "OpenVINO (`pip install openvino`)",
    "torch-export": "PyTorch (`torch.export.load`)",
}

_PURPOSES = {
    "dense": "the whole picture: maps that boxes are pooled from, and what is said of every place",
    "boxes": "classes and corrections of boxes, from their pooled features",
    "crops": "features of boxes, from their warped pixels",
    "masks": "mask logits of boxes for their labels, from their pooled features",
    "mixing": "coefficients of the prototypes for boxes, from their pooled features",
    "refining": "corrections of masks, from masks, pixels and detail resized to one size",
    "rest": "weights of the classifiers on R-CNN's features (safetensors)",
}


def write_instructions(folder: Path, header: ExportHeader) -> None:
    """Write README.md into the folder of an exported model."""
    (folder / "README.md").write_text(_text(folder, header), encoding="utf-8")


def _text(folder: Path, header: ExportHeader) -> str:
    del folder
    is_semantic = isinstance(header.model, SemanticSegmenter.Config)
    call = (
        'class_map = model.class_map("street.jpg")   # 0 background, label + 1'
        if is_semantic
        else 'result = model.predict("street.jpg")       # boxes, labels, scores, masks'
    )
    parts = [
        f"# An exported model of {len(header.class_names)} classes: {_names(header.class_names)}",
        f"Written by `maskwright export --to {header.to}`, in {header.precision}.",
        "## With maskwright",
        f"""```python
import maskwright as mw

model = mw.load("this/folder")
{call}
```

    maskwright predict this/folder pictures/ --out results
    maskwright evaluate this/folder annotations.json""",
        "## Without it",
        f"The graphs run in {_READERS[header.to]}. Choosing boxes (non-maximum suppression), "
        "pooling their features (RoIAlign) and pasting masks are not in them: they stand between "
        "the graphs, in the code of maskwright (`maskwright/inference/export/runtime.py`, "
        "Apache-2.0).",
        _input(header),
        *(_graph(name, graph) for name, graph in header.graphs.items()),
        "Axes of any length are written as ?. Feature maps and pooled features have their "
        "channels last. `config.json` holds the classes, the dataset's category ids, all sizes "
        "and thresholds, and the checksums of the files.",
    ]
    return "\n\n".join(parts) + "\n"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _input(header: ExportHeader) -> str:
    model = header.model
    if model.fixed_size is not None:
        size = f"resized to {model.fixed_size[0]} x {model.fixed_size[1]} (height x width)"
    else:
        size = (
            f"resized so that the short side has {model.short_side} pixels, or the long side "
            f"{model.long_side} if it would have more"
        )
    mean = ", ".join(f"{value:g}" for value in header.pixel_mean)
    return (
        f"Pictures are RGB, float32, 0 to 255 and not normalised, {size} (bilinear, corners not "
        f"aligned), and padded at the right and the bottom to a multiple of {model.size_multiple} "
        f"with ({mean})."
    )


def _graph(name: str, graph: GraphFiles) -> str:
    lines = [f"### `{next(iter(graph.files))}`: {_PURPOSES.get(name, name)}"]
    for kind, shapes in (("in", graph.inputs), ("out", graph.outputs)):
        lines += [f"- {kind}: `{each}` ({_sides(shape)})" for each, shape in shapes.items()]
    return "\n".join((lines[0], "", *lines[1:])) if len(lines) > 1 else lines[0]


def _sides(shape: Sequence[int | None]) -> str:
    return ", ".join("?" if side is None else str(side) for side in shape)
