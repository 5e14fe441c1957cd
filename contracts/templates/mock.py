"""Business rules that the OpenAPI file cannot say. Without this file it is a stateful mock all the same.

One method for each operation that needs a rule, named by its operationId; arguments are its parameters and `body`.
"""

from __future__ import annotations

from sandbox import System


class Mock(System):
    """Its rules; `sandbox up` serves all other operations by what the OpenAPI file says.

    For example:

        def create_order(self, body):
            if not body["lines"]:
                raise Problem(422, "an order needs lines")
            order = self.inferred()                 # what would happen without this method
            self.emit("order.created", order)       # a webhook, where the file declares one
            return order
    """
