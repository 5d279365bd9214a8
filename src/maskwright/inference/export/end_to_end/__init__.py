"""One ONNX graph from pictures to detections, to be run without this package."""
