"""Asks AWS services: reads [service, operation, arguments] a line, prints the answer's JSON.

The AWS SDK for Python stands in the virtual environment of AWS SAM CLI anyway, and knows every service that
the scenarios ask, so that no client of them has to be compiled.
"""

import json
import sys

import boto3

clients = {}
for line in sys.stdin:
    service, operation, arguments = json.loads(line)
    try:
        client = clients.setdefault(service, None) or boto3.client(service)
        clients[service] = client
        answer = {"answer": getattr(client, operation)(**arguments)}
    except Exception as error:
        answer = {"error": f"{service}.{operation}: {error}"}
    print(json.dumps(answer, default=str), flush=True)
