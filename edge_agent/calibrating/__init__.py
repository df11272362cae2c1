"""`edge-agent calibrate`: the dialogue with the technician, the report, the picture, and the storing."""
