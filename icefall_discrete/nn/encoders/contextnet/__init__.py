"""ContextNet, https://arxiv.org/abs/2005.03191, as SpeechBrain has it and DASB (arXiv 2406.14294) uses it."""
