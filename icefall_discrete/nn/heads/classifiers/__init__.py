"""What makes one vector of all frames of an utterance, to tell classes apart by; a file each."""
