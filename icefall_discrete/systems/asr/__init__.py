"""The recogniser: a pruned transducer with CTC heads."""
