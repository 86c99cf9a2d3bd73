"""An encoder of one's own, trained by masked prediction of units."""
