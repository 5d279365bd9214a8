"""The tree of commands, how options reach them and how errors leave.

Commands are named by import path and loaded when they are run, so that `--help` stays quick.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from cyclopts import App

from maskwright import __version__
from maskwright.errors import MaskwrightError

__all__ = ["app", "run"]

app = App(
    name="maskwright",
    help="Instance segmentation with exact masks, from annotated pictures to results.",
    help_format="plaintext",
    help_epilogue="""\
Examples:

    maskwright demo
    maskwright train annotations.json --out runs/first --minutes 20
    maskwright predict runs/first/best.safetensors pictures/ --out results
    maskwright evaluate runs/first/best.safetensors val.json

maskwright COMMAND --help says more.""",
    version=__version__,
)
app.command(
    "maskwright.cli.demo:demo",
    name="demo",
    help="Train, score and draw on pictures that come along, in minutes.",
    help_epilogue="""\
Examples:

    maskwright demo
    maskwright demo --out coins --minutes 5""",
)
app.command(
    "maskwright.cli.train:train",
    name="train",
    help="Train a model on annotated pictures and score it.",
    help_epilogue="""\
Examples:

    maskwright train annotations.json --out runs/first
    maskwright train train.json --val val.json --out runs/second --minutes 20
    maskwright train annotations.json --out runs/third --model.short-side 512
    maskwright train annotations.json --out runs/classes --task semantic --model deeplab
    maskwright train annotations.json --out runs/fourth --augment medical
    maskwright train annotations.json --sanity
    maskwright train annotations.json --out runs/five --folds 5
    maskwright train --resume runs/second

DATA and --out are enough. Without --val the pictures are split 70/15/15 into training, validation
and test. Every option of the recipe can be set by its dotted name; RUN/config.json lists them:

    --model.detector.score-threshold 0.1 --augmentation.vertical-flip 0.5 --set batch-size=2""",
)
app.command(
    "maskwright.cli.predict:predict",
    name="predict",
    help="Find the objects in pictures and write masks, tables and overlays.",
    help_epilogue="""\
Examples:

    maskwright predict runs/first/best.safetensors street.jpg
    maskwright predict runs/first/best.safetensors pictures/ --out results --write overlay csv
    maskwright predict runs/first/best.safetensors 'day*/*.png' --score-threshold 0.7
    maskwright predict runs/first/best.safetensors slide.tif --tiles auto
    maskwright predict runs/first/best.safetensors pictures/ --out results --ray
    maskwright predict runs/classes/best.safetensors pictures/ --semantic --out maps""",
)
app.command(
    "maskwright.cli.evaluate:evaluate",
    name="evaluate",
    help="Score a model, or the results of any tool.",
    help_epilogue="""\
Examples:

    maskwright evaluate runs/first/best.safetensors val.json
    maskwright evaluate runs/first/best.safetensors all.json --subset test
    maskwright evaluate runs/classes/best.safetensors val.json
    maskwright evaluate --predictions results.json --data val.json --json
    maskwright evaluate --predictions cells.json --data val.json --metrics cells
    maskwright evaluate --predictions predict/labels --data data.yaml
    maskwright evaluate runs/first runs/second --paired --data test.json""",
)
app.command(
    "maskwright.cli.errors:errors",
    name="errors",
    help="Find out which mistakes a model makes, what they cost and where to look.",
    help_epilogue="""\
Examples:

    maskwright errors runs/first/best.safetensors val.json --out mistakes
    maskwright errors runs/first all.json --subset test --out mistakes --to labelme
    maskwright errors --predictions results.json --data val.json --out mistakes""",
)
app.command(
    "maskwright.cli.explain:explain",
    name="explain",
    help="Show why a model finds the objects of a picture.",
    help_epilogue="""\
Examples:

    maskwright explain runs/first street.jpg
    maskwright explain runs/first street.jpg --objects 1 3 --out why
    maskwright explain model.safetensors street.jpg --method occlusion --data train.json""",
)
app.command(
    "maskwright.cli.report:report",
    name="report",
    help="Write one page that says how good a model is and where it fails.",
    help_epilogue="""\
Examples:

    maskwright report runs/first val.json
    maskwright report runs/first all.json --subset test --out test.html --write html json
    maskwright report --predictions results.json --data val.json --metrics cells""",
)
app.command(
    "maskwright.cli.card:card",
    name="card",
    help="Write a model card: data, licences, training, scores and limits.",
    help_epilogue="""\
Examples:

    maskwright card runs/first --data val.json --license Apache-2.0
    maskwright card runs/first --data all.json --subset test --out runs/first/README.md""",
)
app.command(
    "maskwright.cli.card:push",
    name="push",
    help="Send a model and its card to the Hugging Face hub.",
    help_epilogue="""\
Examples:

    maskwright push runs/first ann/nuclei --card README.md --private
    maskwright predict hf://ann/nuclei pictures/ --out results""",
)
app.command(
    "maskwright.cli.calibrate:calibrate",
    name="calibrate",
    help="Make a model's scores probabilities and choose score thresholds.",
    help_epilogue="""\
Examples:

    maskwright calibrate runs/first val.json
    maskwright calibrate runs/first val.json --precision 0.9 --out careful.safetensors
    maskwright predict careful.safetensors pictures/ --score-threshold auto""",
)
app.command(
    "maskwright.cli.robustness:robustness",
    name="robustness",
    help="Measure how well a model holds out under noise, blur, weather and the like.",
    help_epilogue="""\
Examples:

    maskwright robustness runs/first val.json --out robustness
    maskwright robustness runs/first val.json --out quick --strengths 1 3 5 --limit 50
    maskwright robustness runs/first val.json --out dark --corruptions darkness contrast""",
)
app.command(
    "maskwright.cli.export:export",
    name="export",
    help="Write a model as graphs for ONNX Runtime, OpenVINO or torch.export.",
    help_epilogue="""\
Examples:

    maskwright export runs/first --to onnx --out exported --data val.json
    maskwright export runs/first --to openvino --out fast --int8 --calibrate train.json \\
        --data val.json
    maskwright predict exported pictures/ --out results""",
)
app.command(
    "maskwright.cli.compress:compress",
    name="compress",
    help="Make a trained model smaller or faster, and measure what that cost.",
    help_epilogue="""\
Examples:

    maskwright compress runs/first --data train.json --val val.json --out small --target 2x
    maskwright compress runs/big --data train.json --out taught --method distill --preset tiny
    maskwright compress runs/first --data train.json --out pruned --teacher runs/big --target 3x
    maskwright compress runs/first --data train.json --out fast --method prune quantise --target 2x
    maskwright compress --resume small""",
)
app.command(
    "maskwright.cli.bench:bench",
    name="bench",
    help="Measure a model's speed and memory in any runtime, beside torchvision and others.",
    help_epilogue="""\
Examples:

    maskwright bench runs/first pictures/
    maskwright bench runs/first pictures/ --runtime torch eager onnx openvino
    maskwright bench runs/first pictures/ --also exported-int8 --out bench.json
    maskwright bench torchvision/maskrcnn_resnet50_fpn --against torchvision --detections 30
    maskwright bench yolo+prototypes@csp-nano --size 640x640 \\
        --against ultralytics:yolo11n-seg_openvino_model --peer-python ~/peers/bin/python""",
)
app.command(
    "maskwright.cli.compare:compare",
    name="compare",
    help="Train models alike, score and time them, and recommend one.",
    help_epilogue="""\
Examples:

    maskwright compare annotations.json --models faster-rcnn+mask-rcnn,yolo+prototypes --out both
    maskwright compare train.json --val val.json --budget 20m --out depths \\
        --models faster-rcnn+mask-rcnn@resnet18,faster-rcnn+mask-rcnn@resnet50""",
)
app.command(
    "maskwright.cli.tune:tune",
    name="tune",
    help="Search for the options that train best on some pictures.",
    help_epilogue="""\
Examples:

    maskwright tune annotations.json --out study --trials 20 --minutes 10
    maskwright tune train.json --val val.json --out study --minutes 5 --limit 200
    maskwright tune train.json --val val.json --out rates --steps 500 \\
        --search optimizer.learning_rate=1e-3:5e-2:log --search warmup=0.01:0.2
    maskwright tune annotations.json --out study --minutes 10 --ray --parallel 4
    maskwright tune annotations.json --out study --minutes 10 \\
        --search default --search model=faster-rcnn+mask-rcnn,ssd+fcn,yolo+prototypes""",
)

_data = App(name="data", help="Annotated pictures: check, convert, divide, count and look at them.")
_data.command(
    "maskwright.cli.data:convert",
    name="convert",
    help="Write annotated pictures in another format.",
    help_epilogue="""\
Examples:

    maskwright data convert annotations.json --to yolo --out yolo
    maskwright data convert tiles/ --to coco --out coco --crowd drop
    maskwright data convert project.xml --to labelme --out labelme --strict""",
)
_data.command(
    "maskwright.cli.data_split:split",
    name="split",
    help="Divide into training, validation and test parts, or into folds.",
    help_epilogue="""\
Examples:

    maskwright data split annotations.json --out parts
    maskwright data split annotations.json --out parts --ratios 0.8 0.1 0.1 --groups field:plate
    maskwright data split tiles/ --out parts --groups near-duplicates --to yolo --copy
    maskwright data split annotations.json --out folds --folds 5 --groups name:'^([^_]+)_'""",
)
_data.command(
    "maskwright.cli.data_stats:stats",
    name="stats",
    help="Count objects, sizes, shapes and classes; the normalisation; plots.",
    help_epilogue="""\
Examples:

    maskwright data stats annotations.json
    maskwright data stats parts/train.json parts/val.json parts/test.json --out statistics
    maskwright data stats instances_train2017.json --no-pixels --json""",
)
_data.command(
    "maskwright.cli.data_view:view",
    name="view",
    help="Draw annotated pictures or single objects on one sheet.",
    help_epilogue="""\
Examples:

    maskwright data view annotations.json --out sheet.png
    maskwright data view annotations.json --out small.png --sort smallest --count 24 --columns 6
    maskwright data view annotations.json --out cracks.png --class Crack --objects
    maskwright data view annotations.json --out seen.png --augment driving""",
)
_data.command(
    "maskwright.cli.data_check:check",
    name="check",
    help="Look for everything that may be wrong with annotated pictures.",
    help_epilogue="""\
Examples:

    maskwright data check annotations.json
    maskwright data check train.json val.json --html check.html
    maskwright data check train.json val.json --group-pattern '^(plate[0-9]+)_' --strict
    maskwright data check annotations.json --fix --out mended

maskwright data checks lists what is looked for.""",
)
_data.command(
    "maskwright.cli.data_check:checks",
    name="checks",
    help="Print what data check looks for.",
)
_data.command(
    "maskwright.cli.data:shard",
    name="shard",
    help="Write tar shards to train from object storage.",
    help_epilogue="""\
Examples:

    maskwright data shard annotations.json --out shards
    maskwright data shard annotations.json --out shards --pictures-per-shard 1000""",
)
app.command(_data)

_DOTTED = re.compile(r"--([a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)+)(?:=(.*))?", re.DOTALL)


def dotted_to_set(tokens: Sequence[str]) -> list[str]:
    """Rewrite `--model.neck.channels 64` to `--set model.neck.channels=64`.

    >>> dotted_to_set(["train", "d.json", "--model.short-side", "320", "--steps=5"])
    ['train', 'd.json', '--set', 'model.short-side=320', '--steps=5']
    """
    rewritten: list[str] = []
    waiting = iter(tokens)
    for token in waiting:
        match = _DOTTED.fullmatch(token)
        if match is None:
            rewritten.append(token)
            continue
        value = match[2] if match[2] is not None else next(waiting, None)
        if value is None:
            raise MaskwrightError(f"{token} needs a value: {token} VALUE")
        rewritten += ["--set", f"{match[1]}={value}"]
    return rewritten


_BARE = {"--augment": "default", "--ray": "local"}
"""Options that may stand without a value, and what they then mean."""


def name_bare_options(tokens: Sequence[str]) -> list[str]:
    """Give `--augment` and `--ray` without a value the value that they then mean.

    >>> name_bare_options(["data", "view", "d.json", "--augment", "--out", "s.png"])
    ['data', 'view', 'd.json', '--augment', 'default', '--out', 's.png']
    """
    named: list[str] = []
    for token, following in zip(tokens, [*tokens[1:], "--"], strict=True):
        named.append(token)
        if token in _BARE and following.startswith("-"):
            named.append(_BARE[token])
    return named


def run(tokens: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0 well, 1 in part, 2 an error, 130 Ctrl-C."""
    try:
        code = app(
            dotted_to_set(name_bare_options(tokens)),
            result_action="return_value",
            exit_on_error=True,
        )
    except MaskwrightError as error:
        print(f"maskwright: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("maskwright: stopped; what was finished is kept", file=sys.stderr)  # noqa: T201
        return 130
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        print(f"maskwright: {error.strerror or error}{place}", file=sys.stderr)  # noqa: T201
        return 2
    return code if isinstance(code, int) else 0
