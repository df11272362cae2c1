"""What `edge-agent calibrate` plays and measures, in four steps.

    with Loopback(input=..., output=..., block_ms=20) as loopback:         loopback: two devices, one loop, no thread
        take = loopback.run(Programme(cap=100).sound)                      programme: silence and three sweeps, pure
    found = measure(programme, take, speech=None)                          measures: numbers out of recordings, pure
    proposal = propose(found, ...)                                         proposal: settings with their reasons, pure

`sweep` is the mathematics of the exponential sweep, pure. The dialogue with the technician, the picture and the storing
are in `edge_agent.calibrating`; the daemon reads the result back with `edge_agent.audio.calibration`.
"""
