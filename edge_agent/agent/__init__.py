"""The daemon: builds all parts, introduces them to each other, and runs them. Only here all of them are known.

    sys.exit(asyncio.run(life()))        # async def life(): return await Agent(config).run()

`agent` is the device's life: start, heartbeats, commands, end. `talk` joins the conversation to sound, line and gate.
Beside them stand three parts that need more than one trade: `opening` (what a connection opens with), `eyes` (the
stills of a turn) and `reports` (what watchers, metrics and log are told).
"""

from edge_agent.agent.agent import Agent

__all__ = ["Agent"]
