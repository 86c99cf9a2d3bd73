"""Training of tokenizers for which no published weights can be had."""
