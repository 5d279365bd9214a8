"""Models as graphs for ONNX Runtime, OpenVINO and torch.export: written, read and run."""
