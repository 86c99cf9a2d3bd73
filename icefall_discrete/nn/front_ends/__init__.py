"""Front ends of an encoder: from input frames to vectors, at half the rate or another; a file each.

`conv2d` is the one of icefall's recipe and of arXiv 2309.07377, made for spectrograms, where neighbouring dimensions
belong together. `conv1d` is for codes, whose embedding dimensions have no neighbourhood: it works over time only and
costs a small part of the other. Letters: N utterances, T input frames, T' output frames, F bins, C channels.
"""
