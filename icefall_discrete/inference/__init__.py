"""From audio to text: what users call."""
