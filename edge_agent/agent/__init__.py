"""The daemon: builds all parts, introduces them to each other, and runs them. Only here all of them are known.

    sys.exit(asyncio.run(life()))        # async def life(): return await Agent(config).run()

`agent` is the device's life: start, heartbeats, commands, end. `talk` joins the conversation to sound, line and gate.
Beside them stand parts that need more than one trade: `opening` (what a connection opens with), `sender` (what is
written to it), `eyes` (the stills of a turn), `reports` (what watchers, metrics and log are told); and `helpers`, the
loop's threads.
"""

from edge_agent.agent.agent import Agent

__all__ = ["Agent"]
