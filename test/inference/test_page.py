"""The page in a real browser, with a file as its microphone."""

import numpy as np
import soundfile
import torch
from browser import browsing, until
from toy_server import client, running, stream_to
from toy_streaming import transcriber_of

from icefall_discrete.inference.serving.settings import BatchConfig
from icefall_discrete.inference.serving.streams import StreamService


def test_a_browser_shows_what_its_microphone_hears(causal_exp, voice, tmp_path):
    soundfile.write(tmp_path / "voice.wav", np.concatenate([voice, voice]), 16000)
    transcriber = transcriber_of(causal_exp)
    with running(lambda config: StreamService(transcriber, config, BatchConfig())) as port:
        with browsing(f"http://127.0.0.1:{port}/", tmp_path / "voice.wav", tmp_path / "profile") as tab:
            until(lambda: tab.text_of("model") == "toy", "the name of the model")
            tab.value("document.getElementById('listen').click()")
            until(lambda: len(tab.text_of("text")) > 6, "text")
            assert (tab.text_of("listen"), tab.text_of("state"), tab.text_of("error")) == ("Stop", "listening", "")
            assert tab.value("document.querySelectorAll('#text .growing').length") == 1
            tab.value("document.getElementById('listen').click()")
            until(lambda: tab.value("document.querySelectorAll('#text .growing').length") == 0, "the end")
            assert (tab.text_of("listen"), tab.text_of("error")) == ("Listen", "")
            tab.value("document.getElementById('listen').click()")
            until(lambda: tab.text_of("state") == "listening", "the second time")
        # The browser is gone in the middle of a stream.
        with client(port) as socket:
            assert stream_to(socket, torch.from_numpy(voice))[-1]["text"]
