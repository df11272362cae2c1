"""The daemon: builds all parts, introduces them to each other, and runs them. Only here all of them are known.

    sys.exit(asyncio.run(life()))        # async def life(): return await Agent(config).run()

`agent` is the device's life: start, heartbeats, end; `commands` is what may be asked of it. `talk` joins the
conversation to button, sound, light and camera, and to `link`, which joins all that belongs to the service: `opening`
(what a connection opens with), `sender` (what is written), `hearing` (what is heard), `calls` (what the model calls),
`story` (what was said), `spending` (what it costs), `fallback` (the way without WebSockets). Beside them stand
`speaker` (what is heard of answers), `voice` (the device's own sentences), `eyes` (the stills of a turn), `alarms`
(timers that ring), `memory` (what outlives a restart), `flight` (the recorder), `reports` and `figures` (what watchers,
metrics and log are told), `wishes` (what the owner wants of model and conversation), and `helpers`, the loop's threads.
"""

from edge_agent.agent.agent import Agent

__all__ = ["Agent"]
