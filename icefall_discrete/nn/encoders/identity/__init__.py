"""No encoder: heads that have layers of their own (x-vector, ECAPA-TDNN) read the front end's vectors."""
