"""What runs graphs leaves the process as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

_SIGNALLED = """
import faulthandler, gc, os, signal, sys
from pathlib import Path
import numpy as np, onnx, torch
from onnx import TensorProto, helper
from maskwright.inference.export.sessions import open_session

faulthandler.enable()  # a signal stack, as test runners and servers have one
came = []
signal.signal(signal.SIGUSR1, lambda *_: came.append("while open" if sessions else "closed"))
value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", value[:1], value[1:])
path = Path(sys.argv[1])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
sessions = [open_session(sys.argv[2], path, torch.device("cpu"), ("y",)) for _ in range(2)]
for session in sessions:
    assert session.run({"x": np.float32([-1, 2, -3, 4])})["y"].tolist() == [0, 2, 0, 4]
del session
os.kill(os.getpid(), signal.SIGUSR1)
while sessions:
    sessions.pop(0)  # in their order, which is when OpenVINO restores a stack that it has freed
    gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
print(*came, sep=", ")
"""


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_signal_reaches_its_handler_while_a_graph_is_open_and_after(
    tmp_path: Path, runtime: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SIGNALLED, str(tmp_path / "graph.onnx"), runtime],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "while open, closed"), done.stderr
