"""Trained recognisers as files for other runtimes: ONNX, TorchScript, sherpa-onnx."""
