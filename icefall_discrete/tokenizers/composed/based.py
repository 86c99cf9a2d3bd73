"""What tokenizers made of one other feature type share, their base."""

from abc import abstractmethod
from typing import ClassVar, Optional, Sequence

from icefall_discrete.base.spec import FeatureSpec
from icefall_discrete.tokenizers.composed.composite import CompositeTokenizer
from icefall_discrete.tokenizers.contract import SpeechTokenizer


class BasedTokenizer(CompositeTokenizer):
    """A tokenizer of the codes of one other, which the setting `base` names.

    Class attribute a subclass sets:
      wants: what the base must be, in words.
    """

    wants: ClassVar[str]

    def _part_types(self) -> Sequence[str]:
        if not self.config.base:
            raise ValueError(f"feature type '{self.name}' has no `base`; set it to {self.wants}.")
        return [self.config.base]

    @property
    def base(self) -> SpeechTokenizer:
        """The tokenizer that it is made of."""
        return self.parts[0]

    @property
    def min_samples(self) -> int:
        """That of the base."""
        return self.base.min_samples

    @property
    def max_samples(self) -> Optional[int]:
        """That of the base."""
        return self.base.max_samples

    @abstractmethod
    def _why_not(self, spec: FeatureSpec) -> str:
        """What is wrong with codes of `spec` as a base, in words; empty if nothing is."""

    def _check_part(self, spec: FeatureSpec) -> None:
        super()._check_part(spec)
        reason = self._why_not(spec)
        if reason:
            raise ValueError(f"feature type '{self.name}': its base '{spec.name}' has {reason}; name {self.wants}.")
