"""What measures one signal against another: alignment in time, distances, intelligibility, pitch, judges of others."""
