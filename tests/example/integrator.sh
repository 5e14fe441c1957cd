#!/bin/sh
# Carries each open order of the store into the ledger, and closes it.
python3 -m http.server "$PORT" --bind 127.0.0.1 >/dev/null 2>&1 &   # so that one sees that it is up
trap 'kill $!' EXIT
trap exit TERM INT
store() { curl -sf -m 0.5 -H "X-Key: $STORE_API_KEY" "$@"; }
ledger() { curl -sf -m 0.5 -H "Authorization: Bearer $LEDGER_TOKEN" -H 'Content-Type: application/json' "$@"; }
while sleep 0.1; do
  for number in $(store "$STORE_URL/orders?status=open" | grep -o '"number":"[^"]*"' | cut -d'"' -f4); do
    ledger -o /dev/null -d "{\"order_number\":\"$number\"}" "$LEDGER_URL/entries" &&
      store -o /dev/null -X POST "$STORE_URL/orders/$number/close"
  done
done
