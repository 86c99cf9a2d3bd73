"""An encoder of continuous features that learns to tell hidden frames from others: Continuous BERT."""
