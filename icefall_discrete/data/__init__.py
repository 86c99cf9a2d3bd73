"""Codes on cuts: archive, extraction, dataset, augmentation, loaders, filters, text to labels."""
