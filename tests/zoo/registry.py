"""All integrators of the zoo."""

from __future__ import annotations

from functools import partial
from typing import Any

from sandbox.chaos.subject import Subject
from sandbox.plan import Injection, Occurrences
from tests.zoo import correct, effects, independent, protocol, receiving, sending
from tests.zoo.altered import Altered
from tests.zoo.animal import Animal, Design, call, delivery
from tests.zoo.base import Kind, Plain

Faults = Injection | tuple[Injection, ...]

INVOICE, SHIPMENT = "accounting.create_invoice", "shipping.create_shipment"
CUSTOMER, ACTIVITY = "crm.create_customer", "crm.create_activity"
PATIENT = {"READ_TIMEOUT": "30", "ANSWER_TIMEOUT": "40"}
NO_CAP = {"BACKOFF_CAP": "1000000"}
STORM = {"BACKOFF_CAP": "20", "MAX_ATTEMPTS": "100000"}


def _rules(ids: str) -> frozenset[str]:
    return frozenset(ids.split())


def _reference(
    breaks: str,
    name: str,
    *parts: type,
    then: Faults = (),
    scenario: str = "one-paid-order",
    implies: str = "",
    depth: int = 1,
    elusive: str = "",
    **how: Any,
) -> Animal:
    subject = partial(Altered, name, *parts, **how)
    faults = then if isinstance(then, tuple) else (then,)
    return Animal(name, subject, breaks, scenario, faults, _rules(implies), depth=depth, elusive=elusive)


def _own(
    breaks: str,
    name: str,
    process: type[Plain],
    *,
    then: Faults = (),
    scenario: str = "one-paid-order",
    implies: str = "",
    depth: int = 1,
    elusive: str = "",
) -> Animal:
    subject = partial(Kind, name, process)
    faults = then if isinstance(then, tuple) else (then,)
    return Animal(name, subject, breaks, scenario, faults, _rules(implies), depth=depth, elusive=elusive)


def _design(name: str, process: type[Plain], warnings: str = "") -> Design:
    return Design(name, partial(Kind, name, process), _rules(warnings))


_LOST_INVOICE = call(INVOICE, "timeout", "applied")
_LOST_SHIPMENT = call(SHIPMENT, "timeout", "applied")
_IN_PROGRESS = call(INVOICE, "conflict")
_OUTAGE = call("accounting", "outage", for_="10m")

BROKEN: tuple[Animal, ...] = (
    # Sending again.
    _reference(
        "R01", "ignores Retry-After", sending.IgnoresRetryAfter, then=call(INVOICE, "rate_limited", retry_after=30)
    ),
    _reference(
        "R01",
        "reads Retry-After as milliseconds",
        sending.ReadsRetryAfterAsMilliseconds,
        then=call(CUSTOMER, "rate_limited", retry_after=30),
    ),
    _reference("R02", "retries a 400", sending.RetriesBadRequests, scenario="poison-order"),
    _reference("R03", "retries without a key", sending.ShipsWithoutKey, then=_LOST_SHIPMENT, implies="F01"),
    _reference(
        "R03",
        "records activities without a key",
        sending.RecordsWithoutKey,
        then=call(ACTIVITY, "timeout", "applied"),
        implies="F01",
    ),
    _reference("R04", "new key on retry", sending.NewKeyOnRetry, then=_LOST_INVOICE, implies="F01"),
    _reference("R04", "key from a timestamp", sending.KeyFromTimestamp, then=_LOST_INVOICE, implies="F01"),
    _reference("R04", "random key", sending.RandomKey, then=_LOST_SHIPMENT, implies="F01"),
    _own("R04", "fresh key for each request", independent.FreshKeys, then=_LOST_INVOICE, implies="F01"),
    _reference(
        "R05",
        "same key, other body",
        sending.RebuildsTheBody,
        scenario="change-of-address",
        then=call(SHIPMENT, "timeout"),
    ),
    _reference("R05", "counts its tries in the body", sending.CountsTriesInTheBody, then=_LOST_SHIPMENT),
    _reference("R06", "one key for two orders", sending.OneKeyPerCustomer, scenario="ten-orders"),
    _reference("R06", "one key for each day", sending.OneKeyPerDay, scenario="ten-orders"),
    _reference("R07", "key with an e-mail address in it", sending.EmailInTheKey),
    _reference("R07", "key without end", sending.EndlessKey, implies="P05"),
    _reference("R08", "new key after a conflict", sending.NewKeyAfterConflict, then=_IN_PROGRESS, implies="R01"),
    _reference("R08", "hammers a conflict", sending.HammersAConflict, then=_IN_PROGRESS, implies="R01"),
    _reference("R08", "takes a conflict for a failure", sending.TakesConflictForFailure, then=_IN_PROGRESS),
    _reference(
        "R08", "takes a conflict for success", sending.TakesConflictForSuccess, then=_IN_PROGRESS, implies="F01 F05"
    ),
    _own(
        "R10", "hardly pauses between retries", independent.HurriesAlong, then=call("accounting", "outage", for_="1m")
    ),
    _reference("R11", "constant backoff", sending.ConstantDelay, then=call("accounting", "outage", for_="1m")),
    _reference(
        "R12",
        "no jitter",
        sending.NoJitter,
        scenario="rush-hour",
        then=call(INVOICE, "server_error", status=503),
        depth=0,
        elusive="each of twenty orders must be delayed; a search strikes one of them at a time",
    ),
    _reference(
        "R13",
        "backoff without a cap",
        sending.NoCap,
        then=call("accounting", "outage", for_="2h"),
        settings=NO_CAP,
        depth=0,
        elusive="only in an outage of hours do the delays grow too long; a search tries ten minutes",
    ),
    _reference(
        "R14",
        "retry storm in an outage",
        sending.NoBreaker,
        scenario="ten-orders",
        then=_OUTAGE,
        settings=STORM,
        elusive="it takes a hundred plans of ten orders each",
    ),
    _reference(
        "R15",
        "swallows a 500",
        sending.SwallowsServerErrors,
        then=call(INVOICE, "server_error", status=503),
        implies="F01 F05",
    ),
    _reference(
        "R15",
        "takes a timeout for success",
        sending.TakesTimeoutForSuccess,
        then=call(INVOICE, "timeout"),
        implies="F01 F05",
    ),
    _own(
        "R15",
        "answers 204 whatever came of it",
        independent.SwallowsFailures,
        scenario="unpaid-order",
        then=call(INVOICE, "reset"),
        implies="F01 F02 F05",
    ),
    _reference(
        "R15",
        "marks before it writes",
        effects.MarksBeforeWriting,
        effects.ForgettingLedger,
        then=call(ACTIVITY, "crash", "applied"),
    ),
    _reference("R16", "no timeout", sending.NoTimeout, then=call(INVOICE, "timeout"), implies="F01 F02 F05"),
    _reference(
        "R16",
        "waits for a drip for ever",
        sending.NoPatienceWithDrips,
        then=call(INVOICE, "slow", "applied", drip="5s", size=20),
        depth=0,
        elusive="a search lets no answer drip, since a rule can only warn of that",
    ),
    # What is done for an order.
    _reference(
        "F01",
        "leaves the invoice of a cancelled order",
        effects.LeavesTheInvoice,
        scenario="cancelled-order",
        implies="F05",
    ),
    _reference(
        "F01",
        "leaves the parcel of a cancelled order",
        effects.LeavesTheParcel,
        scenario="cancelled-order",
        implies="F05",
    ),
    _reference("F01", "one customer for each order", effects.NewCustomerForEachOrder, scenario="ten-orders"),
    _reference("F01", "no activity", effects.NoActivity),
    _own("F01", "forgets to cancel", independent.ForgetsToCancel, scenario="cancelled-order"),
    _own(
        "F02", "gives up after three tries", independent.GivesUp, then=call("crm", "outage", for_="10m"), implies="F01"
    ),
    _reference(
        "F02", "gives up in silence", effects.GivesUpInSilence, then=call("crm", "outage", for_="10m"), implies="F01"
    ),
    _reference("F03", "a reference of its own", effects.UsesItsOwnReference, implies="F01"),
    _own(
        "F03",
        "believes anybody",
        independent.BelievesAnybody,
        then=delivery("order.paid", "forged", how="unsigned"),
        implies="H03",
    ),
    _reference("F04", "float money", effects.FloatMoney, scenario="cancelled-line-item"),
    _reference("F04", "always euro", effects.AlwaysEuro, scenario="ten-orders"),
    _reference("F04", "keeps the first address", effects.KeepsTheFirstAddress, scenario="change-of-address"),
    _reference("F04", "forgets cancelled lines", effects.ForgetsCancelledLines, scenario="cancelled-line-item"),
    _own("F04", "forgets the new address", independent.ForgetsTheAddress, scenario="change-of-address"),
    _reference("F05", "parks without saying so", effects.ParksInSilence, scenario="poison-order", implies="F01"),
    _reference(
        "F06",
        "keys that die with the process",
        effects.KeysInMemory,
        then=call(SHIPMENT, "crash", "applied"),
        implies="F01 H06 R04",
    ),
    _own(
        "F06",
        "remembers in memory",
        independent.RemembersInMemory,
        then=call(SHIPMENT, "crash", "applied"),
        implies="F01 H06 R04",
    ),
    _reference("F07", "ships before it is paid", effects.ShipsBeforePaid, scenario="unpaid-order"),
    _own("F07", "ships what is not paid", independent.ShipsWhatIsNotPaid, scenario="unpaid-order"),
    _reference(
        "F08", "first come, first served", effects.FirstComeFirstServed, scenario="poison-order", implies="F01 F02"
    ),
    _own("F08", "one poison blocks all", independent.OneAfterTheOther, scenario="poison-order", implies="F01 F02"),
    # Webhooks and polls.
    _reference(
        "H01",
        "works before it answers",
        door=receiving.WorksBeforeItAnswers,
        settings=PATIENT,
        then=call(INVOICE, "timeout"),
    ),
    _own("H01", "slow webhook handler", independent.PatientHandler, then=call(INVOICE, "timeout")),
    _own(
        "H02",
        "no de-duplication",
        independent.OncePerDelivery,
        then=delivery("order.paid", "duplicate", after="3s"),
        implies="F01",
    ),
    _own(
        "H02",
        "de-duplicates by body",
        independent.OncePerBody,
        then=(delivery("order.paid", "respaced"), call(INVOICE, "server_error", "applied")),
        implies="F01 R04",
        depth=0,
        elusive="it takes two faults; a search at depth 2 meets a pair first on which only F01 and R04 are broken",
    ),
    _own(
        "H02",
        "checks, then acts, without a lock",
        independent.ChecksThenActs,
        then=delivery("order.paid", "concurrent_duplicate"),
        scenario="unpaid-order",
        implies="F01",
    ),
    _reference(
        "H03",
        "no signature check",
        door=receiving.BelievesEverybody,
        then=delivery("order.paid", "forged", how="unsigned"),
    ),
    _reference(
        "H03",
        "believes old news",
        door=receiving.BelievesOldNews,
        then=delivery("order.paid", "forged", how="old_timestamp"),
    ),
    _reference(
        "H04", "checks the body it parsed", door=receiving.ChecksWhatItParsed, then=delivery("order.paid", "respaced")
    ),
    _reference(
        "H04",
        "accepts only the first signature",
        door=receiving.OneSignatureOnly,
        then=delivery("order.paid", "rotated"),
    ),
    _own(
        "H05",
        "trusts the order of events",
        independent.BelievesEvents,
        scenario="change-of-address",
        then=delivery("order.address_changed", "delay", by="10m"),
        implies="F04",
    ),
    _own(
        "H06",
        "acknowledges before storing",
        independent.WorksInTheBackground,
        then=delivery("order.paid", "crash"),
        scenario="unpaid-order",
        implies="F01 F02 F06",
    ),
    _own(
        "H06",
        "keeps the inbox in memory",
        independent.QueuesInMemory,
        then=delivery("order.paid", "crash"),
        scenario="unpaid-order",
        implies="F01 F02 F06",
    ),
    _reference(
        "H07",
        "no reconcile",
        receiving.NeverReconciles,
        then=delivery("order.paid", "drop"),
        scenario="unpaid-order",
        implies="F01 F02",
    ),
    _reference("H08", "reconciles everything", receiving.ReconcilesEverything, scenario="quiet-day"),
    # What is sent to whom.
    _reference(
        "P01",
        "token refresh loop",
        protocol.RefreshesInALoop,
        then=call(CUSTOMER, "unauthorized", occurrence=Occurrences(1, 5)),
        depth=0,
        elusive="one refusal makes no loop; a search has a credential refused once in a fault",
    ),
    _reference(
        "P01",
        "keeps the refused token",
        protocol.KeepsTheRefusedToken,
        scenario="poison-order",
        then=call(ACTIVITY, "unauthorized", key="2025-4512"),
        elusive="it shows at the last of four orders only, after five hundred plans",
    ),
    _reference("P01", "retries a refused key", protocol.RetriesARefusedKey, then=call(INVOICE, "unauthorized")),
    _own("P01", "knocks again", independent.KnocksAgain, then=call(SHIPMENT, "unauthorized")),
    _reference("P02", "token in the URL", protocol.TokenInTheUrl),
    _reference("P02", "e-mail address in the URL", protocol.EmailInTheUrl, implies="P05"),
    _own("P02", "e-mail address in the path", independent.EmailInThePath, implies="P05"),
    _reference("P03", "every credential to every system", headers=protocol.every_credential),
    _own("P03", "one key ring for all", independent.OneKeyRing),
    _reference("P04", "tells the carrier the buyer", protocol.TellsTheCarrierTheBuyer, protocol.SendsTheBuyer),
    _own("P04", "sends the whole order to shipping", independent.TellsTheCarrierEverything),
    _reference("P05", "invents a field", protocol.InventsAField),
    _reference("P05", "amounts as text", protocol.AmountsAsText),
    _reference("P05", "reports more than asked", protocol.ReportsTooMuch),
    _reference(
        "P06", "strict about unknown fields", protocol.KnowsEveryField, then=call(INVOICE, "schema_drift", "applied")
    ),
    _reference("P07", "loses the trace", protocol.LosesTheTrace),
    _reference("P08", "follows redirects", protocol.FollowsRedirects, then=call(INVOICE, "redirect")),
)

CORRECT: tuple[Design, ...] = (
    _design("looks before it creates", correct.LooksBeforeItCreates),
    _design("leans on redelivery", correct.LeansOnRedelivery, "H01 R11"),
    _design("polls only", correct.PollsOnly),
    _design("re-fetches the order on each event", correct.RefetchesEverything),
    _design("breaks the circuit", correct.BreaksTheCircuit),
    Design("no jitter", partial(Altered, "no jitter", sending.NoJitter), frozenset({"R12"})),
    _design("natural keys", correct.NaturalKeys),
    _design("durable queue between steps", correct.QueuesBetweenSteps),
)


def subject_of(name: str) -> Subject:
    """The integrator of a name.

    Raises:
        KeyError: when there is none.
    """
    for kept in (*BROKEN, *CORRECT):
        if kept.name == name:
            return kept.subject()
    raise KeyError(name)
