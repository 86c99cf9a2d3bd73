"""Exported recognisers, run by onnxruntime and numpy alone: PyTorch need not be installed."""
