"""What a login page does for chatgate, with Python's standard library alone.

    login = check_login_url(raw_query)            # before anything else
    …                                             # the customer logs in
    post_return(login, "success", "alice")        # server to server, or
    browser_return(login, "success", "alice")     # the URL to redirect to
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
import urllib.request
from urllib.parse import parse_qsl

# One or two keys, separated by a blank; the first one signs, all verify.
KEYS = [
    base64.b64decode(key.removeprefix("whsec_"))
    for key in os.environ["CHATGATE_KEYS"].split()
]


def check_login_url(raw_query):
    """The parameters of a login URL; ValueError unless chatgate made it."""
    signed, _, signature = raw_query.rpartition("&signature=")
    expected = [sign(key, f"login-url:{signed}").hex() for key in KEYS]
    if not any(
        hmac.compare_digest(one.encode(), signature.encode()) for one in expected
    ):
        raise ValueError("not a login URL of ours")
    return dict(parse_qsl(signed, keep_blank_values=True))


def post_return(login, outcome, subject=None, claims=None, level=None):
    """Tells chatgate how the login ended; HTTPError when it refuses."""
    body = json.dumps(members(login, outcome, subject=subject, claims=claims, level=level))
    message_id, now = "msg_" + secrets.token_hex(12), int(time.time())
    signature = sign(KEYS[0], f"{message_id}.{now}.{body}")
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }
    request = urllib.request.Request(login["callback"], body.encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def browser_return(login, outcome, subject=None, claims=None, level=None):
    """The URL to redirect the customer's browser to."""
    now = int(time.time())
    payload = members(login, outcome, sub=subject, claims=claims, level=level)
    payload |= {"iat": now, "exp": now + 120}
    message = ".".join(
        base64url(json.dumps(part).encode())
        for part in ({"alg": "HS256", "typ": "JWT"}, payload)
    )
    return f"{login['callback']}&return={message}.{base64url(sign(KEYS[0], message))}"


def members(login, outcome, **optional):
    there = {name: value for name, value in optional.items() if value is not None}
    return {"token": login["token"], "channel": login["channel"], "outcome": outcome, **there}


def sign(key, message):
    return hmac.digest(key, message.encode(), hashlib.sha256)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# login_page.py check|post|browser RAW_QUERY [OUTCOME [SUBJECT]]
if __name__ == "__main__":
    action, query, *rest = sys.argv[1:]
    login = check_login_url(query)
    if action == "post":
        print(post_return(login, *rest))
    if action == "browser":
        print(browser_return(login, *rest))
