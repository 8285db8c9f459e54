"""A tool behind the verifier: says what it was asked, to whoever holds a token for that.

    python3 tool.py PORT ISSUER AUDIENCE DOOR [TOOL SECRET]     with the last two, it asks about each token
"""
import json
import sys

import uvicorn

from countersign_verifier import Countersigned, Introspection, Keys, Verifier


async def tool(scope, receive, send):
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    call = scope["countersign"]["authorization_details"][0]
    said = json.dumps({"action": call["action"], "for": scope["countersign"]["sub"], "bytes": len(body)}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": said})


port, issuer, audience, door, *asks = sys.argv[1:]
introspection = Introspection(f"{door}/oauth/introspect", *asks) if asks else None
verifier = Verifier(issuer, audience, Keys(f"{door}/.well-known/jwks.json"), introspection)
uvicorn.run(Countersigned(tool, verifier), port=int(port), log_level="warning", lifespan="off")
