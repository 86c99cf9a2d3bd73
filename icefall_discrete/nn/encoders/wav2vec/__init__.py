"""The context of wav2vec: convolutions that see the past alone, https://arxiv.org/abs/1904.05862, section 2.1."""
