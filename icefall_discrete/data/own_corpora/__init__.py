"""A corpus of somebody's own: any folder of audio and text to manifests, with a report on what is in it."""
