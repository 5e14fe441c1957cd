"""What specs/crm.yaml cannot say: e-mail addresses are unique, searching, and which customer an activity belongs to."""

from __future__ import annotations

from typing import Any

from sandbox import Problem, System

Document = dict[str, Any]


class Crm(System):
    """Customers with unique e-mail addresses, and the activities on each of them."""

    def create_customer(self, body: Document) -> Document:
        email = self._free_email(body["email"])
        return self.customers.add({**body, "email": email, "customer_id": self.new_id("cus")})

    def search_customers(self, body: Document) -> Document:
        criteria: Document = {name: body[name] for name in ("name", "external_reference") if name in body}
        if "email" in body:
            criteria["email"] = body["email"].lower()
        # A cursor is the last id answered: whoever comes or goes meanwhile, nobody is skipped or answered twice.
        matching = [found for found in self.customers.find(**criteria) if found["customer_id"] > body.get("cursor", "")]
        matching.sort(key=lambda found: str(found["customer_id"]))
        page = matching[: body.get("limit", 20)]
        more = {"next_cursor": page[-1]["customer_id"]} if len(page) < len(matching) else {}
        return {"customers": page, **more}

    def replace_customer(self, customer_id: str, body: Document) -> Document:
        stored = self.customers.require(customer_id)
        email = self._free_email(body["email"], customer_id)
        kept = {name: stored[name] for name in ("customer_id", "created_at", "updated_at")}
        return self.customers.save({**body, "email": email, **kept})

    def update_customer(self, customer_id: str, body: Document) -> Document:
        stored = self.customers.require(customer_id)
        email = self._free_email(body.get("email") or stored["email"], customer_id)
        return self.customers.save({**stored, **body, "email": email})

    def delete_customer(self, customer_id: str) -> None:
        self.customers.remove(customer_id)
        for activity in self.activities.find(customer_id=customer_id):
            self.activities.remove(activity["activity_id"])

    def create_activity(self, customer_id: str) -> Any:
        self.customers.require(customer_id)
        return self.inferred()

    def list_activities(self, customer_id: str) -> Any:
        self.customers.require(customer_id)
        return self.inferred()

    def get_activity(self, customer_id: str, activity_id: str) -> Document:
        activity = self.activities.get(activity_id)
        if activity is None or activity["customer_id"] != customer_id:
            raise Problem(404, f"customer {customer_id} has no activity {activity_id}")
        return activity

    def _free_email(self, email: str, owner: str | None = None) -> str:
        """The address as it is kept, unless another customer has it."""
        email = email.lower()
        other = self.customers.first(email=email)
        if other is None or other["customer_id"] == owner:
            return email
        raise Problem(
            409,
            f"the customer {other['customer_id']} has this e-mail address",
            title="Duplicate e-mail",
            type="duplicate-email",
            errors=[{"pointer": "/email", "detail": "is taken"}],
            customer_id=other["customer_id"],
            existing=f"/customers/{other['customer_id']}",
        )
