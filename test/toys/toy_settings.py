"""Settings of a model by the short names of flags."""

from icefall_discrete.base.settings import from_dict, from_layers, to_dict
from icefall_discrete.systems.asr.transducer import ModelConfig


def model_config(**settings):
    """A model's settings, given by their short names; the others are defaults."""
    return from_dict(ModelConfig, settings, "test")


def changed(config, **settings):
    """The same settings but for some."""
    return from_layers(type(config), [(to_dict(config), "before"), (settings, "test")])
