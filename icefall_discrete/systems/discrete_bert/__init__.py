"""An encoder of codes, trained to find codes that were hidden: Discrete BERT."""
