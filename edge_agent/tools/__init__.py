"""Functions the model may call: how they are declared, found, and run.

`declare` and `schema` turn functions into declarations and hold arguments against them, `registry` finds files and
plug-ins, `runner` runs calls, `builtin` and `timers` are the device's own, `mcp` those of servers made elsewhere.
"""
