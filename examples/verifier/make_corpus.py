"""Makes corpus.json: tokens that are as they should be, and tokens bent in one way each, with what a verifier must say.

Every case is signed with keys that are made here and thrown away, so what is bent is inside of a good signature, which no
running sidecar would make. Both verifiers run the same file. `python3 make_corpus.py` (PyJWT, cryptography) makes it anew.
"""
import base64
import hashlib
import hmac
import json
import pathlib

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW, BODY, TARGET = 1_800_000_000, '{"to":"bo@example.com"}', "/files/a%2Fb/share?x=1&y="
P256, OTHER, ED = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def numbers(key):
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"x": b64(point[1:33]), "y": b64(point[33:])}


RAW_ED = ED.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
KEYS = [
    {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "p256", **numbers(P256)},
    {"kty": "EC", "crv": "P-256", "kid": "unnamed", **numbers(P256)},
    {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "ed", "x": b64(RAW_ED)},
]


def signature(message, header):
    if header.get("alg") == "HS256":
        return hmac.digest(json.dumps(KEYS[0]).encode(), message, "sha256")
    if header.get("alg") == "EdDSA":
        return ED.sign(message)
    key = OTHER if header.get("kid") == "stranger" else P256
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def changed(value, change):
    """`value` with members changed, or taken out where the change is None."""
    out = {**value, **change}
    return {name: part for name, part in out.items() if part is not None}


def token(head={}, claims={}, call={}, payload=None):
    digest = base64.b64encode(hashlib.sha256(BODY.encode()).digest()).decode()
    details = changed({
        "type": "urn:countersign:call", "locations": ["https://api.example.com"], "actions": ["POST"], "target": TARGET,
        "identifier": "call-1", "content_digest": f"sha-256=:{digest}:",
    }, call)
    header = changed({"typ": "at+jwt", "alg": "ES256", "kid": "p256"}, head)
    said = changed({
        "iss": "https://sidecar.example", "aud": "https://api.example.com", "sub": "ana@example.com",
        "client_id": "triage", "iat": NOW - 5, "exp": NOW + 15, "jti": "call-1", "authorization_details": [details],
    }, claims)
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload or json.dumps(said).encode())}"
    return f"{signed}.{b64(signature(signed.encode(), header))}"


CASES = []


def case(name, expect, shown=None, request={}, options={}, now=NOW, **bent):
    """`shown` are the values of the header; by default one, with a token bent so."""
    shown = [f"Bearer {token(**bent)}"] if shown is None else shown
    request = {"authorization": shown, "method": "POST", "target": TARGET, "body": BODY, **request}
    CASES.append({"name": name, "expect": expect, "now": now, "options": options, **request})


def details_of(text):
    return json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))["authorization_details"][0]


GOOD = token()
SIGNED, _, LAST = GOOD.rpartition(".")
HEAD, PAYLOAD = SIGNED.split(".")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SPARE = LAST[:-1] + ALPHABET[ALPHABET.index(LAST[-1]) ^ 1]

case("as it should be", "taken")
case("signed with Ed25519", "taken", head={"alg": "EdDSA", "kid": "ed"})
case("the long name of its type", "taken", head={"typ": "application/at+jwt"})
case("a type in capitals, which are the same", "taken", head={"typ": "AT+JWT"})
case("a key that does not name its algorithm", "taken", head={"kid": "unnamed"})
case("a scheme in small letters", "taken", shown=[f"bearer {GOOD}"])
case("a tool under a path", "taken", options={"base": "/v2/"}, request={"target": "/v2" + TARGET})
case("a body that streams", "taken", options={"streams": True}, call={"content_digest": None}, request={"body": "any"})
case("two seconds late, as clocks differ", "taken", now=NOW + 16)

case("no header", "no_token", shown=[])
case("two of them", "no_token", shown=[f"Bearer {GOOD}"] * 2)
case("two in one", "malformed", shown=[f"Bearer {GOOD}, Bearer {GOOD}"])
case("another scheme", "no_token", shown=[f"DPoP {GOOD}"])
case("a scheme and nothing", "no_token", shown=["Bearer"])

case("two parts", "malformed", shown=[f"Bearer {SIGNED}"])
case("four parts", "malformed", shown=[f"Bearer {GOOD}.{LAST}"])
case("an empty signature", "malformed", shown=[f"Bearer {SIGNED}."])
case("a part of a length that there is not", "malformed", shown=[f"Bearer {SIGNED}.A"])
case("padding", "malformed", shown=[f"Bearer {GOOD}="])
case("a character that decoders skip", "malformed", shown=[f"Bearer {HEAD}.{PAYLOAD}.{LAST[:9]}!{LAST[9:]}"])
case("a space inside", "malformed", shown=[f"Bearer {HEAD}. {PAYLOAD}.{LAST}"])
case("the alphabet of plain base64", "malformed", shown=[f"Bearer {HEAD}.{PAYLOAD}.+{LAST[1:]}"])
case("other spare bits", "malformed", shown=[f"Bearer {SIGNED}.{SPARE}"])
case("a header that is no object", "malformed", shown=[f"Bearer {b64(b'[]')}.{PAYLOAD}.{LAST}"])
case("a header that is no JSON", "malformed", shown=[f"Bearer {b64(b'{')}.{PAYLOAD}.{LAST}"])
case("a header that is no UTF-8", "malformed", shown=[f"Bearer {b64(bytes([123, 255, 125]))}.{PAYLOAD}.{LAST}"])
case("a header nested deep", "malformed", shown=[f"Bearer {b64(b'[' * 9000)}.{PAYLOAD}.{LAST}"])
case("a payload that is no object", "malformed", payload=b"[]")
case("longer than any", "malformed", claims={"more": "x" * 20_000})
case("something critical", "malformed", head={"crit": ["b64"], "b64": False})

case("another kind of token", "wrong_type", head={"typ": "JWT"})
case("no type", "wrong_type", head={"typ": None})
case("a type that is none", "wrong_type", head={"typ": ["at+jwt"]})
case("none, unsigned", "malformed", shown=[f"Bearer {b64(json.dumps({'typ': 'at+jwt', 'alg': 'none'}).encode())}.{PAYLOAD}."])
for alg in ("none", "None", "HS256", "ES384", "RS256", "es256", "toString", ["ES256"], 7, None):
    case(f"the algorithm {json.dumps(alg)}", "wrong_algorithm", head={"alg": alg})
case("Ed25519 by the key of another curve", "wrong_algorithm", head={"alg": "EdDSA"})
case("P-256 by the key of another curve", "wrong_algorithm", head={"kid": "ed"})
for kid in ("stranger", "__proto__", "constructor", "", "P256", 7, None):
    case(f"the key {json.dumps(kid)}", "unknown_key", head={"kid": kid})
case("a key it brings along", "unknown_key", head={"kid": "stranger", "jwk": {"kty": "EC", "crv": "P-256", **numbers(OTHER)}})
case("another signature", "bad_signature", shown=[f"Bearer {SIGNED}.{token(claims={'jti': 'b'}).rpartition('.')[2]}"])
case("another payload", "bad_signature", shown=[f"Bearer {HEAD}.{b64(json.dumps({'iss': 'x'}).encode())}.{LAST}"])
case("a signature of nothing but zeros", "bad_signature", shown=[f"Bearer {SIGNED}.{b64(bytes(64))}"])
case("a signature in the other form", "bad_signature", shown=[f"Bearer {SIGNED}.{b64(P256.sign(SIGNED.encode(), ec.ECDSA(SHA256())))}"])

for name in ("iat", "exp", "sub", "client_id", "jti"):
    case(f"no {name}", "missing_claim", claims={name: None})
    case(f"a {name} of another type", "missing_claim", claims={name: [str(NOW)]})
case("an end that is a string", "missing_claim", claims={"exp": str(NOW + 15)})
case("an end that is no whole number", "missing_claim", claims={"exp": NOW + 15.5})
case("an end that is true", "missing_claim", claims={"exp": True})
case("no name of its own", "missing_claim", claims={"jti": ""})
case("another issuer", "wrong_issuer", claims={"iss": "https://sidecar.example/"})
case("no issuer", "wrong_issuer", claims={"iss": None})
case("another audience", "wrong_audience", claims={"aud": "https://api.example.org"})
case("several audiences", "wrong_audience", claims={"aud": ["https://api.example.com", "https://api.example.org"]})
case("a list of audiences", "wrong_audience", claims={"aud": ["https://api.example.com"]})
case("its time over", "expired", now=NOW + 17)
case("its time over long ago", "expired", now=NOW + 10**6)
case("from the future", "not_yet", now=NOW - 8)
case("a life too long", "too_long", claims={"exp": NOW + 3600})

case("no details", "wrong_details", claims={"authorization_details": None})
case("empty details", "wrong_details", claims={"authorization_details": []})
case("two details", "wrong_details", claims={"authorization_details": [details_of(GOOD)] * 2})
case("details that are none", "wrong_details", claims={"authorization_details": details_of(GOOD)})
case("details of another type", "wrong_details", call={"type": "urn:countersign:task"})
case("another location", "wrong_location", call={"locations": ["https://api.example.org"]})
case("two locations", "wrong_location", call={"locations": ["https://api.example.com", "https://api.example.org"]})
case("no location", "wrong_location", call={"locations": None})
case("minted for another method", "wrong_method", call={"actions": ["GET"]})
case("minted for two methods", "wrong_method", call={"actions": ["POST", "GET"]})
case("sent by another method", "wrong_method", request={"method": "PUT"})
case("a method in small letters", "wrong_method", request={"method": "post"})
for other in ("/files/a%2Fb/share?x=1&y=&", "/files/a%2Fb/share?x=2&y=", "/files/a%2Fb/share", "/files/a%2fb/share?x=1&y=",
              "/files/a/b/share?x=1&y=", "/files/a%2Fb/share/?x=1&y=", "/files/a%2Fb/share?y=&x=1", "", TARGET + "#"):
    case(f"sent to `{other}`", "wrong_target", request={"target": other})
case("no target", "wrong_target", call={"target": None})
case("a tool under a path, called beside it", "wrong_target", options={"base": "/v2"})
for other in (BODY + "\n", BODY[:-1], "", BODY.replace("bo", "mo"), BODY.upper()):
    case(f"the body {json.dumps(other)}", "wrong_body", request={"body": other})
case("no digest", "wrong_body", call={"content_digest": None})
case("a digest of another kind", "wrong_body", call={"content_digest": "sha-512=:x:"})
case("a body that streams, with a digest of another", "wrong_body", options={"streams": True}, request={"body": "any"})
case("an empty digest where bodies stream", "wrong_body", options={"streams": True}, call={"content_digest": ""})

out = {"issuer": "https://sidecar.example", "audience": "https://api.example.com", "keys": KEYS, "cases": CASES}
text = json.dumps(out, indent=1, ensure_ascii=True) + "\n"
pathlib.Path(__file__).with_name("corpus.json").write_text(text)
print(len(CASES), "cases")
