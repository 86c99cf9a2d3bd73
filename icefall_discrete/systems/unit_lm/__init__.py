"""A language model whose words are codes: it tells how probable speech is, and goes on with it."""
