"""The reference integrator: carries each paid order from the shop through CRM, accounting and shipping, exactly once.

It knows the systems through their URLs alone, and takes clock and chance as arguments; copy this folder to start your
own. From the webhook to the parcel:

```
app         checks the signature of a webhook and stores it
inbox       counts each webhook once, and puts its order on the agenda
agenda      which order is to be looked at, and when
worker      does what is due: reads the order from the shop and sends it on its journey
journey     compares what should be with what was done, and does what is missing
steps       takes each step once; ledger remembers them, with their keys and requests
shop, crm, accounting, shipping    what each system is asked and told, and nothing more
client      one HTTP exchange and what its answer means; auth, pace and trace stand behind it
reconcile   asks the shop what changed, in case a webhook was lost
```
"""

from sandbox.integrator.client import SessionFactory, new_session
from sandbox.integrator.config import Config, ConfigError
from sandbox.integrator.database import Database
from sandbox.integrator.integrator import Integrator

__all__ = ["Config", "ConfigError", "Database", "Integrator", "SessionFactory", "new_session"]
