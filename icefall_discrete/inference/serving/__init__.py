"""Recognition for many clients over WebSockets, by the protocols of sherpa-onnx: streams, and whole utterances."""
