"""The device's account of money and data, as a program beside the daemon keeps to it and adds to it.

    account = Account(config)
    account.read()                   # from the daemon if one runs, else from its state file
    account.refusal()                # "", or a sentence: a cap of [budget] or [link] is reached, or nobody can tell
    account.used.spend(report)       # a `Ledger` of what this program uses
    account.book()                   # to where it belongs; "", or a sentence that says why not

While a daemon runs it alone writes its account, so it is asked, and told afterwards (`account` of the control socket).
Where this user reaches neither daemon nor file nothing is counted, and where a cap is set nothing may be used. All of
it waits for a disk or a socket, but for `refusal`.
"""

from __future__ import annotations

import json
from pathlib import Path

from edge_agent.agent.spending import add, limits, local_date, prices, refusal
from edge_agent.config import Config
from edge_agent.conversation.budget import Ledger
from edge_agent.errors import AgentError, Stop
from edge_agent.service import state as states
from edge_agent.service.client import NoDaemon, NotReachable, call

ANSWER_S = 2.0  # of a daemon that runs


class Account:
    """See the module's docstring; `config` is the configuration in force."""

    def __init__(self, config: Config) -> None:
        self.used = Ledger(prices(config))
        """What this program uses; as of the day, whatever happens at midnight."""
        self._currency = config.budget.currency.strip()
        self._socket = Path(config.control.socket)
        self._known = Ledger(prices(config), limits(config))
        self._unknown = "nobody has read it."

    def read(self) -> None:
        """Find out what was used before."""
        try:
            try:
                tree = self._ask({})
            except NoDaemon:
                tree = _opened().section("budget")
            complaints = self._known.restore(tree)
            self._unknown = complaints[0] if complaints else ""
        except Stop as error:
            self._unknown = str(error)
        self._known.pass_time(local_date(), 0.0)

    def refusal(self) -> str:
        """Return why nothing more may be used; "" if it may."""
        caps = self._known.limits
        if self._unknown:
            capped = caps.hard_per_day or caps.hard_per_month or caps.bytes_per_day
            return f"Nobody can tell whether a cap is reached: {self._unknown}" if capped else ""
        whole = Ledger(limits=caps)
        whole.restore(self._known.to_dict())
        add(whole, self.used.day)
        spent = whole.spent()
        return refusal(spent[0], currency=self._currency, date=whole.date) if spent else ""

    def book(self) -> str:
        """Add what was used to the device's account, once; return a sentence where that is impossible."""
        used = self.used.day
        if not (used.tokens or used.data):
            return ""
        try:
            if self._unknown:
                raise Stop(self._unknown)
            try:
                self._ask({"used": json.dumps(self.used.to_dict()["day"], separators=(",", ":"))})
            except NoDaemon:
                self._write()
        except (AgentError, OSError) as error:
            return f"This is not counted in the device's budget: {error}"
        self.used = Ledger(self.used.prices)
        return ""

    def _ask(self, more: dict[str, str]) -> dict[str, object]:
        """Return the daemon's account; NoDaemon: none runs, other Stops: one does, and does not tell."""
        answer = call(self._socket, {"do": "account", **more}, timeout=ANSWER_S)
        tree = answer.get("account")
        if not answer.get("ok") or not isinstance(tree, dict):
            raise NotReachable(str(answer.get("error", "The daemon tells no account.")))
        return tree

    def _write(self) -> None:
        store = _opened()
        self._known.restore(store.section("budget"))
        self._known.pass_time(local_date(), 0.0)
        add(self._known, self.used.day)
        store.put("budget", self._known.to_dict())
        error = store.flush()
        if error is not None:
            raise error
        owner = store.path.parent.stat()
        states.give(store.path, owner.st_uid, owner.st_gid)  # the daemon, which is not root, reads what root wrote


def _opened() -> states.StateFile:
    """Return the state file; Stop: it cannot be read, and must not be written over."""
    store = states.StateFile(states.device_folder())
    complaints = store.load()
    if complaints:
        raise Stop(f"{complaints[0]}.")
    return store
