"""What `specs/shipping.yaml` cannot say: where parcels go, when they may change, and what their label looks like."""

from __future__ import annotations

from textwrap import wrap
from typing import Any, Final

from sandbox import Problem, Reply, System

Document = dict[str, Any]

CARRIER: Final = "Parcelway"
OPTIONAL: Final = ("contents", "delivery_note")
LABEL_WIDTH: Final = 283  # 100 mm in points
LABEL_HEIGHT: Final = 425  # 150 mm in points
NOT_SERVED: Final = frozenset({"AQ"})  # no driver goes to Antarctica


class Shipping(System):
    """Books parcels. The same reference twice is two parcels: the carrier cannot know better, and real ones do not."""

    def create_shipment(self, body: Document) -> Document:
        """Book a shipment and give it a tracking number."""
        _refuse_unless_served(body["recipient"]["address"], "/recipient/address/country")
        shipment_id = self.new_id("shp")
        return self.shipments.add(
            {
                "shipment_id": shipment_id,
                "reference": body["reference"],
                "status": "booked",
                "carrier": CARRIER,
                "tracking_number": f"PW{shipment_id.partition('_')[2].upper()}",
                "service": body.get("service", "standard"),
                "recipient": body["recipient"],
                "parcels": body.get("parcels", [{}]),
                **{name: body[name] for name in OPTIONAL if name in body},
            }
        )

    def replace_shipment_address(self, shipment_id: str, body: Document) -> Document:
        """Send a shipment that is still booked to another address."""
        shipment = self.shipments.require(shipment_id)
        _refuse_unless(shipment, "booked", "sent to another address")
        _refuse_unless_served(body, "/country")
        recipient = shipment["recipient"]
        address = {field: value for field, value in body.items() if field != "name"}
        shipment["recipient"] = recipient | {"name": body.get("name", recipient["name"]), "address": address}
        return self.shipments.save(shipment)

    def cancel_shipment(self, shipment_id: str) -> Document:
        """Take a shipment that is still booked off the driver's list."""
        return self._move(shipment_id, "booked", "cancelled")

    def dispatch_shipment(self, shipment_id: str) -> Document:
        """The driver picks a booked shipment up."""
        return self._move(shipment_id, "booked", "picked_up")

    def deliver_shipment(self, shipment_id: str) -> Document:
        """A shipment that was picked up arrives."""
        return self._move(shipment_id, "picked_up", "delivered")

    def get_label(self, shipment_id: str) -> Reply:
        """The label of a shipment that was not cancelled, as a PDF."""
        shipment = self.shipments.require(shipment_id)
        if shipment["status"] == "cancelled":
            raise Problem(409, "a cancelled shipment has no label", title="Wrong status", type="wrong-status")
        return Reply(_label(shipment), content_type="application/pdf")

    def _move(self, shipment_id: str, before: str, after: str) -> Document:
        """Change the status; a shipment that has it already stays as it is, so that a repeated request is harmless."""
        shipment = self.shipments.require(shipment_id)
        if shipment["status"] != after:
            _refuse_unless(shipment, before, after)
        return self.shipments.save(shipment | {"status": after})


def _refuse_unless(shipment: Document, status: str, purpose: str) -> None:
    if shipment["status"] != status:
        detail = f"the shipment is {shipment['status']}; only a {status} one can be {purpose}".replace("_", " ")
        raise Problem(409, detail, title="Wrong status", type="wrong-status", shipment_status=shipment["status"])


def _refuse_unless_served(address: Document, pointer: str) -> None:
    country = address["country"]
    if country in NOT_SERVED:
        errors = [{"pointer": pointer, "detail": "must be a country that we serve"}]
        raise Problem(
            400, f"no parcels go to {country}", title="Country not served", type="country-not-served", errors=errors
        )


def _label(shipment: Document) -> bytes:
    recipient = shipment["recipient"]
    address = recipient["address"]
    to = [
        recipient["name"],
        *([address["additional_line"]] if "additional_line" in address else []),
        address["street"],
        f"{address['postal_code']} {address['city']}",
        address["country"],
    ]
    lines = [
        (18, f"{shipment['carrier']} {shipment['service']}"),
        (18, shipment["tracking_number"]),
        *((12, line) for text in to for line in wrap(text, 40)),
        (9, f"Reference {shipment['reference']}"),
        (9, f"Parcels {len(shipment['parcels'])}"),
        *((9, line) for line in wrap(shipment.get("delivery_note", ""), 54)),
    ]
    return _pdf(lines)


def _pdf(lines: list[tuple[int, str]]) -> bytes:
    """One page of text (PDF 1.4) in Helvetica, from the top down.

    Args:
        lines: Font size in points, and the text.
    """
    shown = b"".join(b"0 -%d TD /F1 %d Tf (%s) Tj\n" % (size + 8, size, _escaped(text)) for size, text in lines)
    content = b"BT 14 %d Td\n%sET" % (LABEL_HEIGHT - 8, shown)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 5 0 R /Resources << /Font << /F1 4 0 R >> >> >>"
        % (LABEL_WIDTH, LABEL_HEIGHT),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    document = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    entries = [b"0000000000 65535 f \n"]
    for number, body in enumerate(objects, start=1):
        entries.append(b"%010d 00000 n \n" % len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(document)
    document += b"xref\n0 %d\n%s" % (len(entries), b"".join(entries))
    document += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(entries), start)
    return bytes(document)


def _escaped(text: str) -> bytes:
    """A PDF string literal's inside; characters that Windows-1252 lacks become question marks."""
    encoded = text.encode("cp1252", "replace")
    return encoded.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
