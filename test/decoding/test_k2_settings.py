import pytest

from icefall_discrete.decoding.k2_settings import K2SearchConfig, k2_setting_parts
from icefall_discrete.decoding.methods import k2_methods
from icefall_discrete.decoding.settings import DecodeConfig
from icefall_discrete.systems.asr.decoding_files import decoding_suffix


def test_files_are_named_as_icefall_names_them():
    config = DecodeConfig(decoding_method="fast_beam_search_nbest_LG", graph_dir="data/lang/graphs/", nbest=5)
    assert decoding_suffix("epoch-30_avg-9", True, config, 2) == (
        "epoch-30_avg-9_beam-20.0_max-contexts-8_max-states-64_nbest-scale-0.5_num-paths-200_ngram-lm-scale-0.01_"
        "graphs-graphs_nbest-5_use-averaged-model"
    )
    assert k2_setting_parts("1best", K2SearchConfig(graph_dir="g", output_beam=4.0)) == [
        "hlg-scale-0.6",
        "output-beam-4.0",
        "graphs-g",
    ]
    assert all(isinstance(k2_setting_parts(method, config), list) for method in k2_methods())


@pytest.mark.parametrize("name", ["beam", "max_contexts", "num_paths", "hlg_scale"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(ValueError, match=rf"{name} is -1, expected"):
        DecodeConfig(**{name: -1})
    with pytest.raises(ValueError, match="min_active_states is 9 and max_active_states 3"):
        K2SearchConfig(min_active_states=9, max_active_states=3)
