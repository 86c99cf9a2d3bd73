"""What encoders of multi-head attention are built from: positions, attention, feed-forward, and the row of layers.

Sizes, order and names of parameters follow ESPnet's `espnet.nets.pytorch_backend.transformer`, so that its weights are
ours. Letters: N utterances, T target frames, S source frames, H heads, D dimension.
"""
