#!/usr/bin/env bash
# What a login page does for chatgate, with bash, openssl and curl: for trying
# things out. (The key is on openssl's command line for a moment, and the
# comparison takes a time that tells something: not for a server.)
#
#   export CHATGATE_KEYS='whsec_…'     # one or two; the first one signs
#   login_page.sh check   RAW_QUERY
#   login_page.sh post    RAW_QUERY success|failure|cancel [SUBJECT]
#   login_page.sh browser RAW_QUERY success|failure|cancel [SUBJECT]
set -euo pipefail

read -ra keys <<<"$CHATGATE_KEYS"

hex() { od -An -v -tx1 | tr -d ' \n'; }

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

hmac() { # KEY: HMAC-SHA256 of standard input, raw bytes
  local raw
  raw=$(printf %s "${1#whsec_}" | openssl base64 -d -A | hex)
  openssl dgst -sha256 -mac HMAC -macopt "hexkey:$raw" -binary
}

check() { # RAW_QUERY: fails unless chatgate made the login URL
  local key signed=${1%&signature=*} signature=${1##*&signature=}
  for key in "${keys[@]}"; do
    [[ $(printf 'login-url:%s' "$signed" | hmac "$key" | hex) == "$signature" ]] && return
  done
  echo 'not a login URL of ours' >&2
  return 1
}

parameter() { # RAW_QUERY NAME: a parameter's value
  local value
  value=$(tr '&' '\n' <<<"$1" | sed -n "s/^$2=//p")
  printf '%b' "${value//%/\\x}"
}

members() { # RAW_QUERY SUBJECT_MEMBER OUTCOME [SUBJECT]
  printf '"token":"%s","channel":"%s","outcome":"%s"' \
    "$(parameter "$1" token)" "$(parameter "$1" channel)" "$3"
  if [[ -n ${4-} ]]; then
    # No JSON library here, so only what needs no escape.
    [[ $4 =~ ^[A-Za-z0-9@._-]+$ ]] || { echo 'not a plain subject' >&2 && return 1; }
    printf ',"%s":"%s"' "$2" "$4"
  fi
}

post() { # RAW_QUERY OUTCOME [SUBJECT]
  local body id now signature
  body="{$(members "$1" subject "${@:2}")}"
  id=msg_$(openssl rand -hex 12)
  now=$(date +%s)
  signature=$(printf '%s.%s.%s' "$id" "$now" "$body" | hmac "${keys[0]}" | openssl base64 -A)
  curl -sS --fail-with-body "$(parameter "$1" callback)" \
    -H 'content-type: application/json' \
    -H "webhook-id: $id" \
    -H "webhook-timestamp: $now" \
    -H "webhook-signature: v1,$signature" \
    --data-raw "$body"
}

browser() { # RAW_QUERY OUTCOME [SUBJECT]: the URL to redirect to
  local members now message
  members=$(members "$1" sub "${@:2}")
  now=$(date +%s)
  message=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(
    printf '{%s,"iat":%d,"exp":%d}' "$members" "$now" "$((now + 120))" | base64url
  )
  printf '%s&return=%s.%s\n' "$(parameter "$1" callback)" "$message" \
    "$(printf %s "$message" | hmac "${keys[0]}" | base64url)"
}

check "$2"
case $1 in
  check) ;;
  post | browser) "$@" ;;
  *) exit 2 ;;
esac
