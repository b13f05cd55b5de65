#!/usr/bin/env python3
"""What a million orders cost, as a formula over list prices: prints docs/cost.md.

    python3 scripts/cost.py > docs/cost.md

How often each thing happens is counted, by `make bench` (bench/counted.json); how many metrics and alarms there
are, template.yaml and the functions' own log lines say. What is estimated is marked as such. Python 3.10 or
later, no dependencies.
"""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORDERS = 1_000_000
MINUTES_A_MONTH = 43_800

# Where prices are from, and when the page was written or last changed, as it says itself.
LAMBDA = ("cloudchipr.com/blog/aws-lambda-pricing", "2024")
GATEWAY = ("www.apigatewaycost.com/aws", "2026")
DYNAMODB = ("airbyte.com/data-engineering-resources/dynamodb-pricing", "July 2025")
CLOUDWATCH = ("cloudburn.io/blog/amazon-cloudwatch-pricing", "February 2026")
NO_SOURCE = ("aws.amazon.com/pricing, **not verified**: no dated page with this price could be read", "–")

# name: (dollars, for so many, of what, source). US East (N. Virginia), without any free tier.
PRICES = {
    "http": (1.00, 1e6, "requests to an HTTP API", GATEWAY),
    "invocations": (0.20, 1e6, "Lambda invocations", LAMBDA),
    "gb_s": (0.0000133334, 1, "GB-second of Lambda, arm64", LAMBDA),
    "writes": (0.625, 1e6, "write request units, the index's too", DYNAMODB),
    "reads": (0.125, 1e6, "read request units", DYNAMODB),
    "stored": (0.25, 1, "GB of DynamoDB for a month", NO_SOURCE),
    "backup": (0.20, 1, "GB of point-in-time recovery for a month", NO_SOURCE),
    "logs": (0.50, 1, "GB of log lines taken in", CLOUDWATCH),
    "metrics": (0.30, 1, "custom metric for a month", CLOUDWATCH),
    "alarms": (0.10, 1, "alarm for a month", CLOUDWATCH),
    "secrets": (0.40, 1, "secret for a month", NO_SOURCE),
    "secret_calls": (0.05, 1e4, "requests to Secrets Manager", NO_SOURCE),
    "schedule": (1.00, 1e6, "invocations by EventBridge Scheduler", NO_SOURCE),
}

# What one order is: how often each case of bench/counted.json happens for it. A shop's webhooks: Shopify tells of
# an order's creation, its payment, its parcel, and repeats itself as orders/updated.
ORDER = {"created": 1, "paid": 1, "updated": 2, "shipped": 1}

# Estimates: nothing here was measured on AWS.
CALL_S = 0.005  # one request to DynamoDB
CALLBELL_S = 0.25  # one request to Callbell
OWN_S = 0.010  # everything else of an invocation
MEMORY_GB = 0.5  # MemorySize of template.yaml
PLATFORM_LOG_BYTES = 350  # Lambda's own START, END and REPORT, an invocation
ACCESS_LOG_BYTES = 200  # the HTTP API's line, a request
LINE_BYTES = 26  # what CloudWatch adds to each line
STARTS = 0.01  # of all invocations, those that start a process and read a secret

# What the same costs elsewhere. name: (dollars a month, units in it, unit, what one order uses, source).
MESSAGES = 2
WEBHOOKS = sum(ORDER.values())
ELSEWHERE = [
    ("Zapier, Professional, smallest", 19.99, 750, "tasks", MESSAGES,
     ("neondigitalmedia.com/blogs/…/make-com-operations-explained-understanding-the-pricing-model", "undated, read November 2026")),
    ("Zapier, Professional, 5,000 tasks", 89.00, 5_000, "tasks", MESSAGES,
     ("arment.com/ArmstrongIAppConnector/Documentation/FAQ.aspx", "undated, read November 2026")),
    ("Make, Core, smallest", 9.00, 10_000, "credits", WEBHOOKS + MESSAGES,
     ("neondigitalmedia.com/blogs/…/make-com-operations-explained-understanding-the-pricing-model", "undated, read November 2026")),
    ("Make, 2 million credits", 1_000.00, 2_000_000, "credits", WEBHOOKS + MESSAGES,
     ("lilys.ai/notes/…/how-much-make-com-cost-automate-with-ai (“about”, a video's summary)", "October 2025")),
]


class Counted:
    """What `make bench` counted, summed over a case's functions."""

    def __init__(self, path):
        counted = json.loads(path.read_text())
        self.cases = {case["name"]: case["parts"] for case in counted["cases"]}
        self.metrics = counted["metrics"]

    def sum(self, case, of):
        return sum(of(part) for part in self.cases[case])

    def requests(self, case, field):
        return self.sum(case, lambda part: sum(kind[field] for kind in part["requests"]))

    def writes(self, case):
        return self.requests(case, "write_units") + self.requests(case, "index_units")

    def reads(self, case):
        return self.requests(case, "read_units")

    def invocations(self, case):
        return self.sum(case, lambda part: part["invocations"])

    def gb_s(self, case):
        messages = self.sum(case, lambda part: part["messages"])
        seconds = (self.invocations(case) * OWN_S + self.requests(case, "times") * CALL_S
                   + messages * CALLBELL_S)
        return seconds * MEMORY_GB

    def log_bytes(self, case):
        lines = self.sum(case, lambda part: part["log_bytes"] + part["log_lines"] * LINE_BYTES)
        return lines + self.invocations(case) * PLATFORM_LOG_BYTES

    def stored_bytes(self, case):
        """At most what stays: a KiB for each unit of a row that was put, and one for each row that was updated."""
        kept = 0
        for part in self.cases[case]:
            for kind in part["requests"]:
                if kind["refused"] or kind["row"] == "rate":
                    continue
                is_put = kind["operation"] == "PutItem"
                is_own = kind["row"] in ("entity", "person", "alias")
                kept += kind["write_units"] if is_put or is_own else 0
        return kept * 1024


def quantities(counted):
    """How much of everything an order takes, and a month, whatever happens in it."""
    an_order = lambda of: sum(times * of(case) for case, times in ORDER.items())
    invocations = an_order(counted.invocations)
    logs_gb = (an_order(counted.log_bytes) + WEBHOOKS * ACCESS_LOG_BYTES) / 1e9
    stored_gb = an_order(counted.stored_bytes) / 1e9
    order = {
        "http": WEBHOOKS,
        "invocations": invocations,
        "gb_s": an_order(counted.gb_s),
        "writes": an_order(counted.writes),
        "reads": an_order(counted.reads),
        "logs": logs_gb,
        "stored": stored_gb,
        "backup": stored_gb,
        "secret_calls": invocations * STARTS,
    }
    template = (ROOT / "template.yaml").read_text()
    month = {
        "schedule": MINUTES_A_MONTH,
        "invocations": MINUTES_A_MONTH * counted.invocations("idle"),
        "gb_s": MINUTES_A_MONTH * counted.gb_s("idle"),
        "reads": MINUTES_A_MONTH * counted.reads("idle"),
        "writes": MINUTES_A_MONTH * counted.writes("idle"),
        "logs": MINUTES_A_MONTH * counted.log_bytes("idle") / 1e9,
        "metrics": len(counted.metrics),
        "alarms": len(re.findall(r"^    Type: AWS::CloudWatch::Alarm$", template, re.MULTILINE)),
        "secrets": 2,
    }
    return order, month


def dollars(name, quantity):
    price, units, _, _ = PRICES[name]
    return quantity / units * price


def number(value):
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if value >= 0.01 else f"{value:.2g}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cost_rows(quantity_of, times):
    rows, total = [], 0.0
    for name, quantity in quantity_of.items():
        sum_ = dollars(name, quantity * times)
        total += sum_
        rows.append([PRICES[name][2], number(quantity), number(quantity * times), f"${sum_:,.2f}"])
    return rows, total


def elsewhere_rows():
    rows = []
    for name, price, units, unit, used, (source, date) in ELSEWHERE:
        each = price / units
        rows.append([name, f"${price:,.2f} for {units:,} {unit}", f"{used}", f"${each * used * ORDERS:,.0f}",
                     f"{source}; {date}"])
    return rows


def main():
    counted = Counted(ROOT / "bench" / "counted.json")
    order, month = quantities(counted)
    order_rows, of_orders = cost_rows(order, ORDERS)
    month_rows, of_month = cost_rows(month, 1)
    price_rows = [[what, f"${price:.10f}".rstrip("0").rstrip(".") + (f" for {units:,.0f}" if units > 1 else ""),
                   f"{source[0]}; {source[1]}"] for price, units, what, source in PRICES.values()]
    what = ", ".join(f"{times} × {case}" for case, times in ORDER.items())
    print(f"""# What a million orders cost

Written by `scripts/cost.py` from `bench/counted.json`, which `make bench` counts; a test holds that this page is what the script prints.
List prices of US East (N. Virginia), no free tier, no discount, no tax. Not in it: WhatsApp's own price a message and Callbell's plan, which are the same whoever sends; data that leaves AWS (about 1 KB a message).

**An order** is {WEBHOOKS} webhooks ({what}) and {MESSAGES} messages. A million of them in one month cost **${of_orders + of_month:,.2f}**:
${of_orders:,.2f} for the orders and ${of_month:,.2f} for the month, whatever happens in it. So: `dollars = {of_orders / ORDERS:.8f} × orders + {of_month:.2f} × months`.

## An order

{table(["what", "an order", "a million", ""], [*order_rows, ["**sum**", "", "", f"**${of_orders:,.2f}**"]])}

Counted on the wire: requests, write and read units, log bytes. Reading the table's stream is free for Lambda. Estimated, as nothing was measured on AWS:
{CALL_S * 1e3:.0f} ms a request to DynamoDB, one after the other, {CALLBELL_S * 1e3:.0f} ms a request to Callbell, {OWN_S * 1e3:.0f} ms for the rest of an invocation at {MEMORY_GB * 1024:.0f} MB; {PLATFORM_LOG_BYTES} bytes of Lambda's own lines an invocation, {ACCESS_LOG_BYTES} of the access log a request, {LINE_BYTES} that CloudWatch adds a line;
a secret read at each start, {STARTS:.0%} of invocations. Each webhook's rows reach `deliver` in an invocation of their own: batches, which come with traffic, make it cheaper. Stored is at most what is written, for a month.

## A month

{table(["what", "a month", "", ""], [[row[0], row[1], "", row[3]] for row in month_rows] + [["**sum**", "", "", f"**${of_month:,.2f}**"]])}

A minute without work is {counted.requests("idle", "times")} requests to the table and {number(counted.reads("idle"))} read units. The metrics are {", ".join(counted.metrics) or "none"}; a metric costs only in the hours in which it is written.

## Elsewhere

The same million orders as tasks, at the price that a task has in the plan named. Zapier counts actions that succeed: {MESSAGES} an order. Make counts every module that runs, the webhook that starts a scenario too: {WEBHOOKS + MESSAGES} credits an order.

{table(["where", "price a month", "an order", "a million orders", "source; its date"], elsewhere_rows())}

Nobody sends two million messages on a small plan: larger plans cost less a task, Zapier's by a factor that no dated page told. The rows compare the price of a unit, not an offer. What these services do beyond sending is not in the comparison either.

## Prices

{table(["what", "price", "source; its date"], price_rows)}

Prices change, and differ by region: change them at the head of the script, and the sources with them.""")


if __name__ == "__main__":
    main()
