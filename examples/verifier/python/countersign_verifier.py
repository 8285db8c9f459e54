"""What a tool needs to take Countersign's tokens, and nothing else: for this very call, once, while they are good.

    verifier = Verifier(issuer="https://sidecar.example", audience="https://api.example.com",
                        keys=Keys("http://127.0.0.1:7080/.well-known/jwks.json"))
    app = Countersigned(app, verifier)          # ASGI

PyJWT and cryptography look at signatures; what binds a token to one call (RFC 9068, RFC 9396) is looked at here, in the
order of `Verifier.check`. Whatever cannot be looked at is refused.
"""
import asyncio
import base64
import hashlib
import json
import re
import threading
import time
import urllib.parse
import urllib.request

import jwt

CALL = "urn:countersign:call"
KINDS = {"ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
LONGEST = 16 * 1024
PART = re.compile(r"[A-Za-z0-9_-]+")


class Refused(Exception):
    """The request is not to be answered. `reason` is one word; `status` is 401, but 503 where nobody could tell."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason
        self.status = {"unavailable": 503, "too_large": 413}.get(reason, 401)


class Keys:
    """The issuer's published keys. Fetched when they are older than `keep` seconds, and when a token names one that is not
    among them, since keys rotate; for the latter once in `pause` seconds, so that made-up names cost nobody anything."""

    def __init__(self, url, keep=300, pause=5, clock=time.monotonic):
        self.url, self.keep, self.pause, self.clock = url, keep, pause, clock
        self.by_id, self.fetched, self.tried, self.lock = {}, None, None, threading.Lock()

    def find(self, kid):
        with self.lock:
            now = self.clock()
            stale = self.fetched is None or now - self.fetched >= self.keep
            paused = self.tried is not None and now - self.tried < self.pause
            if (stale or kid not in self.by_id) and not paused:
                self.tried = now
                self.fetch(now)
            elif stale:
                raise Refused("unavailable")
            return self.by_id.get(kid)

    def fetch(self, now):
        try:
            self.by_id, self.fetched = {key["kid"]: key for key in fetched(self.url)["keys"]}, now
        except (OSError, ValueError, KeyError, TypeError):
            raise Refused("unavailable") from None


class Used:
    """The tokens that were taken, each until it has expired, and `most` of them at a time: with no room left nothing is
    taken, since what is forgotten could be used again."""

    def __init__(self, most=100_000):
        self.most, self.until, self.swept, self.lock = most, {}, 0, threading.Lock()

    def take(self, jti, until, now):
        with self.lock:
            if now - self.swept >= 1:
                self.until = {jti: end for jti, end in self.until.items() if end > now}
                self.swept = now
            if jti in self.until:
                raise Refused("replayed")
            if len(self.until) >= self.most:
                raise Refused("unavailable")
            self.until[jti] = until


class Introspection:
    """Asks the sidecar whether a token is still good (RFC 7662); `tool` and `secret` are its `[tools.…]` and `introspect`."""

    def __init__(self, url, tool, secret):
        pair = base64.b64encode(f"{tool}:{secret}".encode()).decode()
        self.url, self.headers = url, {"Authorization": f"Basic {pair}"}

    def is_active(self, token):
        form = urllib.parse.urlencode({"token": token}).encode()
        try:
            return fetched(urllib.request.Request(self.url, form, self.headers))["active"] is True
        except (OSError, ValueError, KeyError, TypeError):
            raise Refused("unavailable") from None


class Verifier:
    """`issuer` and `audience` as the configuration says; `base` is the path of the tool's `upstream`, if it has one.
    `streams` takes tokens for bodies that nobody read whole (`body = "stream"` in the catalog)."""

    def __init__(self, issuer, audience, keys, introspection=None, base="", streams=False, leeway=2, longest=60,
                 used=None, clock=time.time):
        self.issuer, self.audience, self.keys, self.introspection = issuer, audience, keys, introspection
        self.base, self.streams, self.leeway, self.longest = base.rstrip("/"), streams, leeway, longest
        self.used, self.clock = used or Used(), clock

    def verify(self, authorization, method, target, body):
        """The token's claims, if it was minted for this call and is used for the first time. `authorization` holds every
        value of that header; `target` is path and query as they came, not decoded. Raises `Refused`."""
        if len(authorization) != 1 or not authorization[0].lower().startswith("bearer "):
            raise Refused("no_token")
        token = authorization[0][7:].strip(" ")
        claims = self.check(token, method, target, body)
        if self.introspection and not self.introspection.is_active(token):
            raise Refused("ended")
        self.used.take(claims["jti"], claims["exp"] + self.leeway, self.clock())
        return claims

    def check(self, token, method, target, body):
        """The same for all that the token itself tells."""
        claims = self.signed(token)
        self.check_claims(claims)
        details = claims.get("authorization_details")
        if not isinstance(details, list) or len(details) != 1 or not isinstance(details[0], dict):
            raise Refused("wrong_details")
        call = details[0]
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        unbound = self.streams and "content_digest" not in call
        for holds, reason in (
            (call.get("type") == CALL, "wrong_details"),
            (call.get("locations") == [self.audience], "wrong_location"),
            (call.get("actions") == [method], "wrong_method"),
            (isinstance(call.get("target"), str) and self.base + call["target"] == target, "wrong_target"),
            (unbound or call.get("content_digest") == f"sha-256=:{digest}:", "wrong_body"),
        ):
            if not holds:
                raise Refused(reason)
        return claims

    def signed(self, token):
        """What is signed, by a published key and in the one way that this key is for."""
        parts = token.split(".")
        if len(parts) != 3 or len(token) > LONGEST:
            raise Refused("malformed")
        head, payload, _ = [decoded(part) for part in parts]
        header = json_object(head)
        type_ = header.get("typ")
        if not isinstance(type_, str) or type_.lower() not in ("at+jwt", "application/at+jwt"):
            raise Refused("wrong_type")
        if "crit" in header:
            raise Refused("malformed")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in KINDS:
            raise Refused("wrong_algorithm")
        key = self.keys.find(header["kid"]) if isinstance(header.get("kid"), str) else None
        if key is None:
            raise Refused("unknown_key")
        if (key.get("kty"), key.get("crv")) != KINDS[algorithm] or key.get("alg", algorithm) != algorithm:
            raise Refused("wrong_algorithm")
        try:
            jwt.PyJWS().decode(token, jwt.PyJWK(key).key, algorithms=[algorithm])
        except jwt.PyJWTError:
            raise Refused("bad_signature") from None
        return json_object(payload)

    def check_claims(self, claims):
        now, times = self.clock(), [claims.get("iat"), claims.get("exp")]
        if not all(isinstance(moment, int) and not isinstance(moment, bool) for moment in times):
            raise Refused("missing_claim")
        if not all(isinstance(claims.get(name), str) and claims[name] for name in ("sub", "client_id", "jti")):
            raise Refused("missing_claim")
        issued, expires = times
        for holds, reason in (
            (claims.get("iss") == self.issuer, "wrong_issuer"),
            (claims.get("aud") == self.audience, "wrong_audience"),
            (now < expires + self.leeway, "expired"),
            (issued <= now + self.leeway, "not_yet"),
            (expires - issued <= self.longest, "too_long"),
        ):
            if not holds:
                raise Refused(reason)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is sent to the sidecar goes nowhere else."""

    def redirect_request(self, *_):
        return None


def fetched(request):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirects)
    with opener.open(request, timeout=5) as answer:
        return json.loads(answer.read(1 << 20))


def decoded(part):
    """base64url in its one spelling: other decoders skip what they do not know, or bits that are left over."""
    if not PART.fullmatch(part):
        raise Refused("malformed")
    try:
        bytes_ = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise Refused("malformed") from None
    if base64.urlsafe_b64encode(bytes_).rstrip(b"=").decode() != part:
        raise Refused("malformed")
    return bytes_


def json_object(text):
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise Refused("malformed") from None
    if not isinstance(value, dict):
        raise Refused("malformed")
    return value


class Countersigned:
    """An ASGI application that answers only what `verifier` lets through; the claims are in `scope["countersign"]`.

    The server must give `raw_path` (uvicorn and hypercorn do): what was decoded once cannot be compared any more."""

    def __init__(self, app, verifier, most=10 << 20):
        self.app, self.verifier, self.most = app, verifier, most

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            raise RuntimeError("only HTTP requests can be verified")
        try:
            body = await whole(receive, self.most)
            target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            shown = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
            verify, target = self.verifier.verify, target.decode("latin-1")
            scope["countersign"] = await asyncio.to_thread(verify, shown, scope["method"], target, body)
        except Refused as refused:
            return await answer(send, refused)
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again():
            return waiting.pop() if waiting else await receive()

        await self.app(scope, again, send)


async def whole(receive, most):
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("wrong_body")
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > most:
            raise Refused("too_large")
    return b"".join(parts)


async def answer(send, refused):
    headers = [(b"content-type", b"application/json")]
    if refused.status == 401:
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"'))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    body = json.dumps({"error": "invalid_token", "reason": refused.reason}).encode()
    await send({"type": "http.response.body", "body": body})
