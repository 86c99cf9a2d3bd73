"""wav2vec-U climbs its ladder: a small made-up language is learnt without a pair, and nothing of shuffled text."""

from icefall_discrete.systems.wav2vec_u.config import DiscriminatorConfig, GanTraining, Wav2vecUConfig
from icefall_discrete.systems.wav2vec_u.judge import verdict
from icefall_discrete.systems.wav2vec_u.ladder import RungConfig, SecondRung

RUNG = RungConfig(num_symbols=6, shortest=8, longest=14, dim=8, train_lines=300, dev_lines=60)
RECIPE = Wav2vecUConfig(
    discriminator=DiscriminatorConfig(kernel=4, dim=16),
    train=GanTraining(
        steps=600, batch_size=32, generator_lr=0.003, discriminator_lr=0.01, check_steps=100, save_steps=600
    ),
)


def test_a_language_is_learnt_without_a_pair_and_shuffled_text_teaches_nothing(tmp_path):
    seed = 3  # one of those that find it; not all do
    rung = SecondRung(RUNG, tmp_path / "text")
    candidate, rate = rung.train(RECIPE, seed, "whole")
    assert verdict(candidate, rung.judge.text_ppl) == "near the text"
    assert rate < 0.1
    # Text without order is as likely as any other order, so that only transcripts tell this one from a success.
    _, rate = SecondRung(RUNG, tmp_path / "shuffled", is_control=True).train(RECIPE, seed, "whole")
    assert rate > 0.5
