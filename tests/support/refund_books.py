"""The books of a history of refunds: what we hold to be so, what the gateways have, and what strangers did at them."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, ClassVar

from aiohttp import ClientError, encode_basic_auth
from hypothesis.stateful import RuleBasedStateMachine

from refunds.refunds.states import RefundState
from sandbox.systems.trust_money import TrustError
from tests.support.refund_checks import check_closed
from tests.support.refund_world import World

S = RefundState
CAPTURED = 100
SPENT = (S.SENDING, S.PENDING, S.UNKNOWN, S.SUCCESS)


class RefundBooks(RuleBasedStateMachine):
    """One history's books. ``strangers`` are the keys of refunds that somebody made without us, ``touched`` their payments."""

    world: ClassVar[World]
    payments: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()
        self.strangers: set[str] = set()
        self.strangers_by_name: dict[str, str] = {}
        self.touched: set[str] = set()

    def run(self, coroutine: Any) -> Any:
        """Run on the world's loop."""
        return self.world.run(coroutine)

    async def pay_as_a_stranger(self, payment: str, amount: int) -> None:
        """Give money back at a gateway, past us; it refuses what is more than there is."""
        key = f"stranger-{payment}-{len(self.strangers)}"
        self.strangers.add(key)
        self.touched.add(payment)
        if not payment.startswith("yk-"):
            body = {"payment_id": payment, "amount": amount, "currency": "RUB"}
            try:
                made = self.world.sandbox.world.trust.money.create(
                    key=key, body=body, declined=False, now=self.world.time.now()
                )
            except TrustError:
                return
            made.status = "success"
            return
        body = {"payment_id": payment, "amount": {"value": f"{amount / 100:.2f}", "currency": "RUB"}}
        try:
            async with self.world.session.post(
                f"{self.world.sandbox.url}/v3/refunds",
                json=body,
                headers={"Idempotence-Key": key, "Authorization": encode_basic_auth("1", "key")},
            ):
                pass
        except (ClientError, TimeoutError):
            return  # whether it was made is in the gateway's books

    async def _adopt_strangers(self) -> None:
        """Assert that each refund of a stranger is told once, and take all of them over."""
        rows: list[Any] = []
        for _ in range(5):
            known = self._strangers_at_gateways()
            self.strangers_by_name = {name: key for _, name, key in known}
            if known or rows:  # one that its gateway cancelled meanwhile is no difference any more
                assert await self.world.reconcile_all(self.world.instance()) is not None
                await self.world.deliver()
            for gateway, name, _ in known:
                assert self.world.problems[f"refund-difference:{gateway}:{name}:unknown_to_us"] >= 1, "nobody was told"
            rows = await self.world.fetch(
                "SELECT id FROM refund_differences WHERE over_at IS NULL AND kind = 'unknown_to_us' AND payment_id = ANY($1)",
                self.payments,
            )
            for row in rows:
                await self.world.press_settle(self.world.instance(), row["id"], order="N-1")
            if not rows:
                break
            self.world.pass_time(400.0)
        assert not rows, "a refund of a stranger could not be adopted"

    def _strangers_at_gateways(self) -> list[tuple[str, str, str]]:
        return [
            (
                "yookassa" if payment.startswith("yk-") else "trust",
                refund.get("trust_refund_id") or refund["id"],
                refund["key"],
            )
            for payment, item in self.world.ledgers().items()
            for refund in item["refunds"]
            if refund["key"] in self.strangers and refund["alive"]
        ]

    async def check_sums(self) -> None:
        """Assert that no more than was captured is spent, by our books and by the gateways, and nothing under a key of nobody's."""
        rows = await self.world.fetch(
            "SELECT payment_id, sum(amount) AS spent, sum(reserved) AS held FROM refunds"
            " WHERE payment_id = ANY($1) AND state = ANY($2) GROUP BY payment_id",
            self.payments,
            list(map(int, SPENT)),
        )
        # What a stranger has taken and we have adopted may stand beside what of ours the gateway is going to refuse.
        spent = [row["held" if row["payment_id"] in self.touched else "spent"] for row in rows]
        assert all(each <= CAPTURED for each in spent), rows
        attempts = await self.world.fetch(
            "SELECT DISTINCT a.gateway_key, a.refund_id FROM refund_attempts AS a JOIN refunds AS r ON r.id = a.refund_id"
            " WHERE r.payment_id = ANY($1)",
            self.payments,
        )
        owner = {row["gateway_key"]: str(row["refund_id"]) for row in attempts}
        payouts: Counter[str] = Counter()
        alive: Counter[str] = Counter()
        for item in self.world.ledgers().values():
            for refund in item["refunds"]:
                if refund["key"] in self.strangers:
                    continue
                assert refund["key"] in owner, "the gateway has a refund under a key that was not committed before"
                payouts[owner[refund["key"]]] += refund["payouts"]
                alive[owner[refund["key"]]] += refund["alive"]
        assert not [refund for refund, times in payouts.items() if times > 1], f"paid twice: {payouts}"
        assert not [refund for refund, times in alive.items() if times > 1], f"under way twice: {alive}"
        for system, words in (("trust", "refund_exceeds_captured"), ("yookassa", "exceeds the amount")):
            page = self.world.sandbox.world.systems[system].journal.page(after=self.read[system])
            self.read[system] = page["last_seq"]
            refused = [entry for entry in page["items"] if words in str(entry["answer"])]
            assert not refused or self.touched or self.world.orphans(), (
                "more than was captured was asked of the gateway"
            )

    async def finish(self) -> None:
        """Bring everything to its end, the gateways being well; assert that the books are right."""
        await self._adopt_strangers()
        rows = await self.world.until_terminal(self.payments)
        found = await self.world.reconcile_all(self.world.instance())
        assert found is not None
        assert found.unanswered == 0, found
        await self.world.deliver()
        await check_closed(self.world, self.payments, {one.subject: one.kind for one in found.differences})
        await self.check_sums()
        ledgers = self.world.ledgers()
        paid: defaultdict[str, int] = defaultdict(int)
        for item in ledgers.values():
            for refund in item["refunds"]:
                if refund["status"] in {"success", "succeeded"}:
                    paid[refund["key"]] += refund["amount"] if "trust_refund_id" in refund else _minor(refund)
        booked = 0
        for row in rows:
            fresh = (await self.world.fetch("SELECT * FROM refunds WHERE id = $1", row["id"]))[0]
            attempts = await self.world.fetch("SELECT * FROM refund_attempts WHERE refund_id = $1", row["id"])
            adopted = self.strangers_by_name.get(str(attempts[-1]["gateway_refund_id"]))
            keys = {attempt["gateway_key"] for attempt in attempts} if adopted is None else {adopted}
            money = sum(paid[key] for key in keys)
            assert money == (fresh["amount"] if fresh["state"] == S.SUCCESS else 0), (S(fresh["state"]).name, money)
            booked += money
            if adopted is not None:
                self.world.ended["adopted of a stranger"] += 1
            await self._check_history(str(row["id"]), fresh["state"])
            self.world.ended[f"{S(fresh['state']).name} {fresh['settled'] or ''}".strip()] += 1

        assert booked == sum(paid.values()), "whatever was paid is in our books, whoever paid it"

    async def _check_history(self, refund_id: str, state: int) -> None:
        lines = await self.world.fetch(
            "SELECT version, attempt, state_before, state_after FROM refund_history WHERE refund_id = $1::uuid ORDER BY id",
            refund_id,
        )
        assert [line["version"] for line in lines] == list(range(1, len(lines) + 1))
        chain = [None, *(line["state_after"] for line in lines)]
        assert [line["state_before"] for line in lines] == chain[:-1]
        assert chain[-1] == state
        errors = {line["attempt"] for line in lines if line["state_after"] == S.ERROR}
        raised = {name: times for name, times in self.world.problems.items() if name.startswith(f"refund:{refund_id}:")}
        assert raised == {f"refund:{refund_id}:{attempt}": 1 for attempt in errors}, "one problem an attempt"
        over = {name: times for name, times in self.world.resolved.items() if name in raised}
        if state in {S.SUCCESS, S.CANCELLED, S.REVERSED, S.CLOSED}:
            assert over == raised, "what ends well ends its problems"


def _minor(refund: dict[str, Any]) -> int:
    return int(refund["amount"]["value"].replace(".", ""))
