//! Broken configurations: each mistake has its place and its advice.
//!
//! A case takes a good configuration, replaces one piece of it, and marks with
//! `«` where the mistake has to be shown.

use super::*;

/// What to replace, by what, and what the message and the help have to say.
type Case = (&'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const ERRORS: &[Case] = &[
    // ── names and types ───────────────────────────────────────────────────
    ("public_url", "«pubic_url", "`pubic_url` is not known", "`public_url`"),
    ("resume = \"replay\"", "«resumee = \"replay\"", "`resumee`", "`resume`"),
    ("[identity]", "[«identiy]\n[identity]", "`identiy`", "`identity`"),
    ("format = \"json\"", "format = «\"jsno\"", "no such format", "`json`"),
    ("level = \"debug\"", "level = «\"verbose\"", "no such level", "known: `debug`"),
    ("workers = 2", "workers = «\"2\"", "must be a whole number, not a string", ""),
    ("workers = 2", "workers = «0", "from 1 to 1024", ""),
    ("http2 = true\n[[", "http2 = «\"yes\"\n[[", "must be true or false", ""),
    ("malformed = \"release\"", "malformed = \"release\"\n«resume = \"none\"", "`resume` is not known", "belongs to [channel.web]"),
    ("[admin]\naddress", "[admin]\n«adress", "`adress`", "`address`"),
    ("[admin]\naddress", "«[admin]\n# address", "`address` is missing", ""),
    // ── values ────────────────────────────────────────────────────────────
    ("drain_timeout = \"10s\"", "drain_timeout = «\"10 s\"", "not a duration", "\"500ms\""),
    ("drain_timeout = \"10s\"", "drain_timeout = «10", "needs a unit", "\"30s\""),
    ("\"Text/CSS\"", "«\"css\"", "not a media type", "image/*"),
    ("\"Text/CSS\"", "«\"application/json\"", "JSON cannot pass", "`json` conditions"),
    ("idle = \"20s\"", "idle = «\"2h\"", "at most 1h", ""),
    ("drain_timeout = \"10s\"", "drain_timeout = «\"2h\"", "at most 1h", ""),
    ("max_bytes = \"64MiB\"", "max_bytes = «\"64MB\"", "not a size", "\"64KiB\""),
    ("max_bytes = \"64MiB\"", "max_bytes = «64", "needs a unit", "\"64KiB\""),
    ("max_body = \"16KiB\"", "max_body = «\"65MiB\"", "at most 64MiB", ""),
    ("replay_max_body = \"32KiB\"", "replay_max_body = «\"1MiB\"", "at most 64KiB", ""),
    ("\"https://chat.example.com/\"", "«\"chat.example.com\"", "must begin with http", "https://"),
    ("\"https://chat.example.com/\"", "«\"https://a:b@chat.example.com\"", "user or password", ""),
    ("\"https://chat.example.com/\"", "«\"https://chat.example.com/?a\"", "no", ""),
    ("\"/.gate\"", "«\"gate\"", "not a path", "/.chatgate"),
    ("\"/.gate\"", "«\"/a/../b\"", "not a path", "/.chatgate"),
    ("\"127.0.0.1:9090\"", "«\"localhost:9090\"", "not an address and port", "127.0.0.1:8080"),
    ("\"http://files.internal\"", "«\"http://files.internal/v1\"", "has no path", "scheme, host and port"),
    ("method = \"DELETE\"", "method = «\"delete\"", "no such method", "`DELETE`"),
    ("method = [\"POST\", \"PUT\"]", "method = [\"POST\", «\"POTS\"]", "no such method", "`POST`"),
    ("method = [\"POST\", \"PUT\"]", "method = «[]", "`method` is empty", ""),
    ("status = 401\nheaders", "status = «204\nheaders", "no body", ""),
    ("status = 401\nheaders", "status = «20\nheaders", "from 100 to 599", ""),
    ("\"*.Example.com\"", "«\"*.example.com:80\"", "not a host name", "without port"),
    ("path = \"/chats/{id}/messages\"", "path = «\"chats\"", "begins with /", ""),
    ("path = \"/chats/{id}/messages\"", "path = «\"/chats?x\"", "only the path", ""),
    ("path = \"/chats/{id}/messages\"", "path = «\"/chats/{id\"", "", ""),
    ("path = \"/admin/{*rest}\"", "path = «\"/.gate/x\"", "chatgate's own", "`endpoints`"),
    ("json = \"$..authentication_required\"", "json = «\"$..[\"", "", ""),
    ("{ json = \"$.thread\" }", "{ json = «\"thread\" }", "not a JSONPath", "$.sender"),
    ("text = \"Log in: {{ login_url }}", "text = \"Log in: {{ «logn_url }}{{ login_url }}", "", "login_url"),
    ("'{\"customer\": \"{{ subject }}\"}'", "'{\"customer\"«}'", "not JSON", ""),
    ("/private/{{ interaction }}", "/private/{{ «outcome }}", "", ""),
    ("\"https://bot.internal/private/{{ interaction }}\"", "«\"https://{{ interaction }}/private\"", "", ""),
    ("\"https://bot.internal/private/{{ interaction }}\"", "«\"https://bot{{ interaction }}/private\"", "must not stand in the host", ""),
    ("\"subject\", \"X-Customer-Mail\"", "«\"subjct\", \"X-Customer-Mail\"", "", "subject"),
    ("\"metadata.customer\"", "«\"metadata..customer\"", "not the place of a member", ""),
    ("required_claims = [\"email\"]", "required_claims = [«\"e mail\"]", "name of a claim", ""),
    ("cookie = \"sid\"\nurl", "cookie = «\"s id\"\nurl", "not a token", ""),
    ("{ algorithm = \"HS256\", secret = { file = \"keys/site.key\" } },", "{ algorithm = «\"HS265\", secret = { file = \"keys/site.key\" } },", "no such algorithm", "`HS256`"),
    ("\"X-Customer-Id\" =", "«\"X Customer\" =", "not a header name", ""),
    ("level = \"verified\"\n", "level = «\"verifed\"\n", "no such level", "`verified`"),
    ("fallback = \"strong\"", "fallback = «\"strange\"", "no such level", "known"),
    ("\"verified\", \"strong\"]", "\"verified\", \"strong\", «\"verified\"]", "named twice", ""),
    ("\"verified\", \"strong\"]", "\"verified\", \"strong\", «\"anonymous\"]", "by itself", ""),
    ("origins = [\"https://www.example.com\"]", "origins = «[]", "no origin", ""),
    ("origins = [\"https://www.example.com\"]", "origins = [«\"https://www.example.com/\"]", "ends with", ""),
    ("origins = [\"https://www.example.com\"]\ncredentials", "origins = [\"*\"]\n«credentials", "any website", ""),
    // ── directories ───────────────────────────────────────────────────────
    ("[directory.billing]", "[directory.«Billing]", "not a name", "a-z"),
    ("kind = \"ldap\"", "kind = «\"ldpa\"", "no such kind", "`ldap`"),
    ("\"ldap://ldap.internal:3389\"", "«\"https://ldap.internal\"", "must begin with ldap://", "ldaps://ldap.example.com"),
    ("\"ldap://ldap.internal:3389\"", "«\"ldap://ldap.internal/dc=x\"", "scheme, host and port only", "`base`"),
    ("\"ldap://ldap.internal:3389\"\n", "\"ldaps://ldap.internal\"\n«", "from the beginning", "leave `starttls` out"),
    ("starttls = true\nca =", "«ca =", "`ca` has a meaning with ldaps or `starttls` only", ""),
    ("bind_password = { file = \"keys/bot.key\" }\n", "", "`bind_dn` without `bind_password`", ""),
    ("bind_dn = \"cn=chatgate,dc=example,dc=com\"\n", "", "`bind_password` without `bind_dn`", ""),
    ("base = \"ou=people,dc=example,dc=com\"", "base = «\"people\"", "not the name of an entry", "ou=people"),
    ("pool = 8", "pool = «0", "from 1 to 64", ""),
    ("strong = \"5m\"", "«stong = \"5m\"", "no such level", "`strong`"),
    ("strong = \"5m\"", "strong = «5", "needs a unit", ""),
    ("strong = \"5m\"", "«strong = \"21m\"", "`verified` ends before the higher `strong`", "at least as long"),
    ("level = \"strong\"", "level = «\"weak\"", "no such level", "`strong`"),
    ("kind = \"deny\"", "kind = \"deny\"\n«level = \"strong\"", "goes with message routes", ""),
    ("logout_key = { file = \"keys/old.key\" }", "logout_key = «\"abc\"", "", ""),
    ("max_failures = 5", "max_failures = «0", "from 1 to 100", ""),
    ("failure = { text = \"no\"", "«fail = { text = \"no\"", "`fail` is not known", "`failure`"),
    ("{{ outcome }}\"}' }", "{{ «outcme }}\"}' }", "", "outcome"),
    ("verified = \"20m\"", "«verified = \"31m\"", "`claimed` ends before the higher `verified`", "at least as long"),
    // ── the login page ────────────────────────────────────────────────────
    ("\"10.0.0.0/8\"", "«\"10.0.0.0/33\"", "not a network", "10.0.0.0/8"),
    ("directory = \"people\"", "directory = «\"poeple\"", "no such directory", "`people`"),
    ("(uid={{ username }})", "(uid={{ «usrname }})", "unknown variable", "`username`"),
    ("\"(&(objectClass=person)(uid={{ username }}))\"", "«\"uid={{ username }}\"", "not an LDAP filter", "(uid={{ username }})"),
    ("\"(&(objectClass=person)(uid={{ username }}))\"", "«\"(uid=admin)\"", "the same entry whoever asks", ""),
    ("subject = \"employeeNumber\"", "subject = «\"employee number\"", "name of an attribute", ""),
    ("group = \"(member={{ dn }})\"\n", "", "`group_base` without `group`", ""),
    ("max_failures = 3", "max_failures = «0", "from 1 to 100", ""),
    ("languages = [\"de\", ", "languages = [«\"fr\", ", "no texts in `fr`", "`translations`"),
    ("translations = \"texts\"", "translations = «\"keys\"", "there are no texts", "nl.json"),
    ("translations = \"texts\"", "translations = «\"nowhere\"", "cannot read the directory", ""),
    ("\"https://cdn.example.com/logo.svg\"", "«\"http://cdn.example.com/logo.svg\"", "a logo is at https", ""),
    ("colour = \"#1f5fa8\"", "colour = «\"blue\"", "not a colour", "#1f5fa8"),
    ("[channel.shop.login_page]", "return_tolerance = \"5m\"\n[channel.shop.login_page]", "goes with `authentication_url`", ""),
    ("[channel.shop.login_page]", "authentication_url = \"https://www.example.com/login\"\nauthentication_security_key = { file = \"keys/web.key\" }\n[channel.shop.«login_page]", "`login_page` and `authentication_url` exclude each other", ""),
    ("url = \"https://crm.internal/api/\"", "url = «\"https://crm.internal/?a\"", "has no query", "`path`"),
    ("\"X-Caller\" = \"chat\"", "«\"X Caller\" = \"chat\"", "not a header name", ""),
    ("\"X-Caller\" = \"chat\"", "«\"Content-Length\" = \"1\"", "follows from the request", ""),
    ("\"X-Caller\" = \"chat\"", "\"X-Caller\" = «\"a\\nb\"", "cannot carry", ""),
    ("\"sqlite:tls/chain.pem\"", "«\"sqlite::memory:\"", "names no file", "sqlite:records.db"),
    ("\"sqlite:tls/chain.pem\"\n", "\"sqlite:tls/chain.pem\"\n«ca = \"tls/chain.pem\"\n", "PostgreSQL only", ""),
    ("\"sqlite:tls/chain.pem\"", "«\"mysql://db\"", "must begin with sqlite: or postgres://", ""),
    ("\"sqlite:tls/chain.pem\"", "«\"postgres://db:x/y\"", "not the URL of a PostgreSQL", ""),
    // ── matches ───────────────────────────────────────────────────────────
    ("name = \"customer\"", "name = «\"person\"", "two matches", ""),
    ("directory = \"people\"", "directory = «\"peopel\"", "no such directory", "`people`"),
    ("filter = \"(&(", "«filtre = \"(&(", "`filtre`", "`filter`"),
    ("filter = \"(&(objectClass=inetOrgPerson)(mail={{ claims.email }}))\"", "«query = \"x\"", "`query` has no meaning", "asked by `filter`"),
    ("filter = \"(&(objectClass=inetOrgPerson)(mail={{ claims.email }}))\"", "filter = «\"mail={{ claims.email }}\"", "not an LDAP filter", "(mail={{ claims.email }})"),
    ("path = \"/customers/{{ subject }}?mail={{ claims.email }}\"", "path = «\"/customers\"", "for everybody", "{{ subject }}"),
    ("path = \"/customers/{{ subject }}?mail", "path = «\"customers/{{ subject }}?mail", "one way only", ""),
    ("path = \"/customers/{{ subject }}", "path = \"/customers/{{ «subjct }}", "`subjct`", ""),
    ("path = \"/customers/{{ subject }}", "path = \"/customers/«{{ subject|safe }}", "stands a name", ""),
    ("(mail={{ claims.email }})", "(mail={{ «mail }})", "did you mean `claims.mail`", ""),
    ("customer = :subject and mail = :claims.email\"", "customer = 7\"", "for everybody", ""),
    ("customer = :subject", "customer = '«:subject'", "", ""),
    ("customer = :subject and mail = :claims.email", "customer = :«email", "did you mean `claims.email`", ""),
    ("= :claims.email\"", "= :claims.email«; drop table x\"", "without a semicolon", ""),
    ("\"select status", "\"«update status", "begins with `select`", ""),
    ("as = \"phone\"", "as = «\"phon\"", "no such as", "`phone`"),
    ("as = \"phone\", country", "as = \"text\", «country", "goes with as = \"phone\"", ""),
    ("as = \"date\", claim_form", "as = \"text\", «claim_form", "goes with as = \"date\"", ""),
    ("claim_form = \"dd.mm.yyyy\"", "claim_form = «\"dd.mm.yy\"", "no such claim_form", "`dd.mm.yyyy`"),
    ("country = \"49\"", "country = «\"+49\"", "what numbers begin with", "digits only"),
    ("{ field = \"status\" }", "«{ as = \"text\" }", "`field` is missing", ""),
    ("unreachable = \"deny\"", "unreachable = «\"allow\"", "no such unreachable", "`pass`"),
    ("cache = \"1m\"\n[[channel.web.match", "cache = «\"2h\"\n[[channel.web.match", "at most 1h", ""),
    // ── sockets ───────────────────────────────────────────────────────────
    ("on_expiry = \"close\"", "«on_expire = \"close\"", "`on_expire`", "`on_expiry`"),
    ("on_expiry = \"close\"", "on_expiry = «\"closed\"", "no such on_expiry", "`close`"),
    ("on_expiry = \"close\"\nclose_code = 4403", "on_expiry = \"anonymous\"\n«close_code = 4403", "`close_code` goes with", "or leave this out"),
    ("close_code = 4403", "close_code = «1006", "says something else", "4000 to 4999"),
    ("close_code = 4403", "close_code = «999", "from 1000 to 4999", ""),
    ("[\"https://chat.example.com\", ", "[«\"*\", ", "stands alone", ""),
    ("\"256KiB\"", "«\"65MiB\"", "at most 64MiB", ""),
    ("\"customer\": \"{{ subject }}\"}'\nping", "\"customer\": \"{{ «outcome }}\"}'\nping", "", "subject"),
    ("challenge = { json = '{\"go\"", "challenge = { «content_type = \"a/b\", json = '{\"go\"", "has no content type", ""),
    ("challenge = { json = '{\"go\"", "challenge = { «status = 200, json = '{\"go\"", "`status` is not known", ""),
    // ── files ─────────────────────────────────────────────────────────────
    ("{ file = \"keys/bot.key\" }", "{ file = «\"keys/bott.key\" }", "there is no file", "keygen"),
    ("{ file = \"keys/bot.key\" }", "{ file = «\"keys/empty\" }", "is empty", ""),
    ("{ file = \"keys/bot.key\" }", "{ file = «\"keys/line-end\" }", "line end", ""),
    ("{ file = \"keys/bot.key\" }", "{ file = «\"keys\" }", "cannot read", ""),
    ("{ file = \"keys/bot.key\" }", "{ env = «\"CHATGATE_IS_NOT_SET\" }", "variable CHATGATE_IS_NOT_SET is not set", "where chatgate is started"),
    ("{ file = \"keys/bot.key\" }", "{ env = «\"CARGO_PKG_VERSION_PRE\" }", "variable CARGO_PKG_VERSION_PRE is empty", ""),
    ("{ file = \"keys/bot.key\" }", "{ env = «\"isnotset\" }", "not shown", "WEB_KEY"),
    ("{ file = \"keys/bot.key\" }", "{ env = «\"is not set\" }", "this is none", "never the secret"),
    ("{ file = \"keys/bot.key\" }", "{ file = \"keys/bot.key\", «env = \"HOME\" }", "exclude each other", ""),
    ("{ file = \"keys/bot.key\" }", "«{ }", "one of `file`, `env` is missing", ""),
    ("{ file = \"keys/bot.key\" }", "«\"keys/bot.key\"", "name of a file", "file ="),
    ("{ file = \"keys/bot.key\" }", "«7", "must name a secret", "file ="),
    ("{ file = \"keys/old.key\" }", "«{ file = \"keys/site.key\" }", "", "chatgate keygen"),
    ("pem = { file = \"keys/site.pem\" } },\n", "pem = «{ file = \"keys/garbage.pem\" } },\n", "", ""),
    ("pem = { file = \"keys/site.pem\" } },\n", "pem = «{ file = \"keys/assertion.pem\" } },\n", "", ""),
    ("key = { file = \"keys/assertion.pem\" }", "key = «{ file = \"keys/site.pem\" }", "", ""),
    ("jwks_file = \"keys/site.jwks\"", "jwks_file = «\"keys/site.pem\"", "", ""),
    ("certificate = \"tls/chain.pem\"", "certificate = «\"keys/garbage.pem\"", "PEM", ""),
    ("certificate = \"tls/chain.pem\", key = \"tls/key.pem\"", "certificate = \"tls/chain.pem\", key = «\"tls/chain.pem\"", "private key", ""),
    ("certificate = \"tls/chain.pem\", key = \"tls/key.pem\"", "certificate = \"tls/chain.pem\", key = «\"other/key.pem\"", "does not belong", ""),
    ("ca = \"tls/chain.pem\"", "ca = «\"keys/site.key\"", "no PEM certificate", ""),
    // ── contradictions ────────────────────────────────────────────────────
    ("address = \"[::1]:8080\"", "address = \"[::1]:8080\"\n«http2 = true", "over TLS only", ""),
    ("\"[::1]:8080\"", "\"127.0.0.1:8443\"", "same address", ""),
    ("\"127.0.0.1:9090\"", "«\"[::1]:8080\"", "customers come in", ""),
    ("url = \"https://files.internal/in\"", "url = «\"https://files.internal//in\"", "read in two ways", "without"),
    ("login_binding = \"confirm\"", "login_binding = «\"same-browser\"", "a browser brings along", "confirm"),
    ("login_binding = \"linked\"", "login_binding = «\"linkd\"", "no such login_binding", "`linked`"),
    ("login_binding = \"linked\"", "login_binding = \"confirm\"", "asks a platform", "linked"),
    ("login_binding = \"confirm\"", "login_binding = «\"linked\"", "no table `linking`", "[channel.NAME.linking]"),
    ("[channel.push.linking]\nurl = \"https://platform.example.com/link?token={{ fetched }}&nonce={{ ticket }}\"", "«[channel.push.linking]", "one of `url`, `back` is missing", ""),
    ("&nonce={{ ticket }}\"", "\"", "does not get the ticket", "{{ ticket }}"),
    ("token={{ fetched }}&", "", "goes nowhere", ""),
    ("nonce={{ ticket }}", "nonce={{ «tikcet }}&t={{ ticket }}", "tikcet", "`ticket`"),
    ("confirm = { json = \"$.link.nonce\" }\n", "", "`confirm` is missing", ""),
    ("refused = { json = \"$.link.result\", equals = \"failed\" }", "refused = «{ json = \"$.link.result\" }", "needs `equals`", ""),
    ("value = \"$.linkToken\"", "", "`value` is missing", ""),
    ("token = { file = \"keys/widget.key\" } }\nvalue", "token = «{ file = \"keys/garbage.pem\" } }\nvalue", "not a token", ""),
    ("\"https://platform.example.com/linking\"", "«\"https://Platform.example.com/linking\"", "lower case", ""),
    ("\"https://platform.example.com/linking\"", "«\"https://platform.example.com/linking?a\"", "leave the query out", ""),
    ("\"https://platform.example.com/linking\"", "«\"https://platform.example.com/a/../linking\"", "in two ways", ""),
    ("linking = { back = {", "linking = { «fetch = { url = \"https://platform.example.com\", value = \"$.a\" }, back = {", "goes with `url`", ""),
    ("path = \"/push\", interaction = { json = \"$.from\" }, verify = \"platform\"", "«path = \"/push\", interaction = { json = \"$.from\" }", "unsigned request", "verify"),
    ("secret = { file = \"keys/bot.key\" } } }\nroute = [{ kind = \"message\", path = \"/push\"", "secret = { file = \"keys/bot.key\" } }, token = { kind = \"jwt\", secret = { file = \"keys/bot.key\" }, claims = { iss = \"p\" } } }\nroute = [{ kind = \"message\", «path = \"/push\", interaction = { json = \"$.from\" }, verify = [\"platform\", \"token\"] }, { kind = \"message\", path = \"/other\"", "says nothing of the body", "standard-webhooks"),
    ("path = \"/push\", interaction = { json = \"$.from\" }, verify", "«path = \"/push\", interaction = { header = \"X-From\" }, verify", "whose word this is", "json"),
    ("confirm = { json = \"$.code\" }", "confirm = «{ path = \"code\" }", "covers the body alone", "json"),
    ("confirm = { json = \"$.code\" }", "confirm = «[{ json = \"$.code\" }, { query = \"code\" }]", "covers the body alone", "json"),
    ("refused = { json = \"$.link.result\", equals", "refused = «{ header = \"X-Result\", equals", "covers the body alone", "json"),
    ("unlinked = { json = \"$.link.result\", equals", "unlinked = «{ cookie = \"result\", equals", "covers the body alone", "json"),
    ("url = \"http://files.internal\"", "url = \"http://files.internal\"\n«verify = true", "with https only", ""),
    ("upstream = \"files\"\nread", "upstream = «\"file\"\nread", "no such upstream", "`files`"),
    ("[channel.app]\nupstream = \"files\"", "«[channel.app]", "`upstream` is missing", ""),
    ("interaction = { path = \"id\" }\nenf", "interaction = «{ path = \"idd\" }\nenf", "has no {idd}", "`id`"),
    ("interaction = { path = \"id\" }\nenf", "interaction = { «answer_json = \"$.id\" }\nenf", "no answer yet", ""),
    ("from = [{ header = \"Authorization\"", "from = [{ «answer_header = \"A\" }, { header = \"Authorization\"", "no answer yet", ""),
    ("[[channel.web.route]]\nkind = \"end\"\npath = \"/chats/{id}\"\nmethod = \"DELETE\"\ninteraction = { path = \"id\" }", "«[[channel.web.route]]\nkind = \"end\"\npath = \"/chats/{id}\"", "needs `interaction`", "$.sender"),
    ("interaction = { answer_json = \"$.id\" }", "", "needs `interaction`", ""),
    ("kind = \"deny\"", "kind = \"deny\"\n«interaction = { path = \"rest\" }", "has no interaction", ""),
    ("kind = \"deny\"", "kind = \"deny\"\n«enforcement = \"off\"", "lets nobody pass", ""),
    ("interaction = { query = \"id\" } }]", "interaction = { query = \"id\" }, enforcement = «\"required\" }]", "no [[identity]]", "off"),
    ("{ query = \"id\" } }]", "«{ json = \"$.id\" }, method = \"GET\" }]", "no body to look into", ""),
    ("[channel.web.owner]\nselector = [{ header = \"Authorization\", scheme = \"Bearer\" }, { cookie = \"sid\" }]\n", "", "without an [owner]", "`owner`"),
    ("selector = [{ header = \"Authorization\", scheme = \"Bearer\" }, { cookie = \"sid\" }]", "selector = { cookie = \"sid\" }\n«claim = \"sub\"", "exclude each other", ""),
    ("notify = { url", "«notifi = { url", "`notifi`", "`notify`"),
    ("resume = \"replay\"\nreplay_max", "resume = \"none\"\n«replay_max", "goes with resume", ""),
    ("[channel.web.inspect]", "[channel.web.signature.a]\nkind = «\"hamc\"\n[channel.web.inspect]", "no such kind", "`hmac`"),
    ("[channel.web.inspect]", "«[channel.web.signature.a]\nkind = \"hmac\"\nsecret = \"0123456789abcdef\"\n[channel.web.inspect]", "`header` is missing", ""),
    ("[channel.web.inspect]", "[channel.web.signature.a]\nkind = \"hmac\"\nheader = \"X-S\"\nsecret = «\"short\"\n[channel.web.inspect]", "shorter than 16 bytes", ""),
    ("[channel.web.inspect]", "[channel.web.signature.a]\nkind = \"hmac\"\nheader = \"X-S\"\nsecret = [\"0123456789abcdef\", «\"0123456789abcdef\"]\n[channel.web.inspect]", "the same", ""),
    ("[channel.web.inspect]", "[channel.web.signature.a]\nkind = \"hmac\"\nheader = \"X-S\"\nsecret = \"0123456789abcdef\"\ndigest = «\"md5\"\n[channel.web.inspect]", "no such digest", "`sha1`"),
    ("[channel.web.inspect]", "[channel.web.signature.a]\nkind = \"jwt\"\nsecret = \"0123456789abcdef0123456789abcdef\"\nclaims = { «iat = 1 }\n[channel.web.inspect]", "another in every token", ""),
    ("[channel.web.inspect]", "[channel.web.signature.a]\nkind = \"jwt\"\nsecret = \"0123456789abcdef0123456789abcdef\"\nmax_age = «\"2h\"\n[channel.web.inspect]", "at most 1h", ""),
    ("[channel.web.inspect]", "«[[channel.web.route]]\nkind = \"webhook\"\npath = \"/h\"\n[channel.web.inspect]", "needs `interaction`", ""),
    ("[channel.web.inspect]", "[[channel.web.route]]\nkind = \"webhook\"\npath = \"/h\"\ninteraction = { json = \"$.a\" }\n«enforcement = \"off\"\n[channel.web.inspect]", "proves nobody", "`verify`"),
    ("[channel.web.inspect]", "[channel.web.signature.api]\nkind = \"standard-webhooks\"\nkey = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n[[channel.web.route]]\nkind = \"webhook\"\npath = \"/h\"\ninteraction = { json = \"$.a\" }\nverify = «\"apis\"\n[channel.web.inspect]", "no such signature", "`api`"),
    ("[channel.web.inspect]", "[channel.web.link]\nprefix = «\"bot.example/login\"\n[channel.web.inspect]", "must begin with http", "https://"),
    ("[channel.web.inspect]", "[channel.web.link]\nprefix = \"https://bot.example/login?\"\nat = «\"url\"\n[channel.web.inspect]", "", ""),
    ("[channel.web.inspect]", "«[channel.web.link]\nat = \"$.url\"\n[channel.web.inspect]", "`prefix` is missing", ""),
    ("path = \"/chats/{id}/messages\"", "verify = «\"api\"\npath = \"/chats/{id}/messages\"", "no signatures", "signature.api"),
    ("path = \"/chats/{id}/messages\"", "sign = «\"api\"\npath = \"/chats/{id}/messages\"", "no signatures", "signature.api"),
    ("resume = \"replay\"\n", "resume = \"replay\"\n«release = { attempts = 3 }\n", "goes with resume = \"release\"", ""),
    ("resume = \"replay\"\nreplay_max_body = \"32KiB\"", "resume = \"release\"\nrelease = { attempts = «0 }", "from 1 to 10", ""),
    ("resume = \"replay\"\nreplay_max_body = \"32KiB\"", "resume = \"release\"\nrelease = { «atempts = 3 }", "`atempts`", "`attempts`"),
    ("resume = \"replay\"\nreplay_max_body = \"32KiB\"", "resume = \"release\"\nrelease = { max_bytes = «\"17MiB\" }", "at most 16MiB", ""),
    ("authentication_security_key = { file = \"keys/web.key\" }\ninter", "inter", "`authentication_security_key` is missing", ""),
    ("authentication_url = \"https://www.example.com/login\"\nauthentication_security_key", "«authentication_security_key", "without `authentication_url`", ""),
    ("challenge = { html = \"<a href=\\\"{{ login_url }}\\\">log in</a>\" }\n", "", "`challenge` is missing", ""),
    ("content_type = \"text/plain\"", "content_type = «\"text/plain; charset=windows-1251\"", "is UTF-8", "leave `charset` out"),
    ("content_type = \"text/plain\"", "content_type = \"text/plain\"\n«json = \"{}\"", "exclude each other", ""),
    ("\"https://www.example.com/login?theme=chat\"", "«\"https://www.example.com/login?t=1\"", "added by chatgate", ""),
    ("token = \"t\"\n", "token = \"\"\n", "needs `token` or `callback`", ""),
    ("signature = \"sig\"", "signature = \"\"", "cannot be left out", ""),
    ("signature = \"sig\"", "signature = \"t\"", "same name", ""),
    ("signature = \"sig\"", "signature = \"level\"", "usual name of another", ""),
    ("route = [{ kind = \"message\", path = \"/app\", interaction = { query = \"id\" } }]", "route = [{ kind = \"pass\", path = \"/app\" }]", "answers are judged on", ""),
    // ── a provider ────────────────────────────────────────────────────────
    ("[channel.help.oidc]", "[channel.help.«oidcc]", "`oidcc` is not known", "`oidc`"),
    ("interaction_timeout = \"1h\"\nowner = { cookie = \"own\" }\nflag = [{ status", "interaction_timeout = \"1h\"\nauthentication_url = \"https://www.example.com/login\"\nauthentication_security_key = { file = \"keys/web.key\" }\nowner = { cookie = \"own\" }\nflag = [{ status", "exclude each other", ""),
    ("challenge = { text = \"Please", "«return_tolerance = \"1m\"\nchallenge = { text = \"Please", "goes with `authentication_url`", ""),
    ("challenge = { text = \"Please log in: {{ login_url }}\" }\n", "", "`challenge` is missing", ""),
    ("issuer = \"https://login.example.com/tenant\"\n", "", "`issuer` is missing", ""),
    ("\"https://login.example.com/tenant\"", "«\"login.example.com\"", "must begin with http", "https://"),
    ("\"https://login.example.com/tenant\"", "«\"https://login.example.com/?a=b\"", "has no query", ""),
    ("\"https://login.example.com/tenant\"", "«\"https://login.example.com/.well-known/openid-configuration\"", "discovery document", "leave"),
    ("client_id = \"chatgate\"", "«client = \"chatgate\"", "`client` is not known", ""),
    ("client_secret = { file = \"keys/bot.key\" }\nclient_authentication = \"post\"\n", "", "one of `client_secret`, `private_key` is missing", ""),
    ("client_secret = { file = \"keys/bot.key\" }\nclient_authentication = \"post\"", "private_key = { algorithm = «\"RS256\", pem = { file = \"keys/assertion.pem\" } }", "no such algorithm", "ES256"),
    ("client_secret = { file = \"keys/bot.key\" }\nclient_authentication = \"post\"", "private_key = { algorithm = \"ES384\", pem = «{ file = \"keys/assertion.pem\" } }", "not a private key", ""),
    ("client_secret = { file = \"keys/bot.key\" }\nclient_authentication = \"post\"", "private_key = { algorithm = \"ES256\", pem = «{ file = \"keys/site.pem\" } }", "not a private key", ""),
    ("client_secret = { file = \"keys/bot.key\" }\nclient_authentication", "private_key = { algorithm = \"ES256\", pem = { file = \"keys/assertion.pem\" } }\n«client_authentication", "goes with `client_secret`", ""),
    ("client_authentication = \"post\"", "client_authentication = «\"psot\"", "no such client_authentication", "`post`"),
    ("scopes = [\"email\", \"openid\"]", "scopes = [«\"email profile\"]", "not a scope", ""),
    ("scopes = [\"email\", \"openid\"]", "scopes = «\"email\"", "must be a list", ""),
    ("claims = [\"email\", \"name\"]", "claims = [«\"e mail\"]", "name of a claim", ""),
    ("acr_values = { claimed", "acr_values = { «clamed", "no such level", "`claimed`"),
    ("[\"urn:two\", \"urn:three\"]", "[«\"urn:two urn:three\"]", "one word", ""),
    ("[\"urn:two\", \"urn:three\"]", "«[]", "is empty", ""),
    ("level = \"claimed\"\nmax_age", "level = «\"climed\"\nmax_age", "no such level", "`claimed`"),
    ("max_age = \"5m\"\nprompt", "max_age = «300\nprompt", "needs a unit", ""),
    ("prompt = [\"login\", \"consent\"]", "prompt = «[\"none\", \"login\"]", "stands alone", ""),
    ("prompt = [\"login\", \"consent\"]", "prompt = «\"logon\"", "no such prompt", "`login`"),
    ("algorithms = [\"ES256\", \"PS256\"]", "algorithms = [«\"HS256\"]", "no such algorithm", ""),
    ("algorithms = [\"ES256\", \"PS256\"]", "algorithms = [«\"none\"]", "no such algorithm", ""),
    ("timeout = \"5s\"\n", "timeout = «\"5m\"\n", "at most 1m", ""),
    ("flag = [{ header = { name = \"X-Private\" } }]", "flag = [«{ observe = true }]", "needs a condition", ""),
    ("flag = [{ header = { name = \"X-Private\" } }]", "flag = [{ status = 401, «equals = 1 }]", "there is no `json`", ""),
    ("flag = [{ header = { name = \"X-Private\" } }]", "flag = [{ status = 401, «strip = true }]", "nothing to strip", ""),
    ("absolute_timeout = \"12h\"", "absolute_timeout = \"1h\"", "can never run out", ""),
    ("\"X-Customer-Id\" =", "«\"Content_Length\" =", "must not be managed", "X-Customer-Id"),
    ("\"X-Customer-Id\" =", "«\"Host\" =", "must not be managed", ""),
    ("\"X-Customer-Id\" =", "«\"connection\" =", "must not be managed", ""),
    ("\"X-Customer-Mail\"", "«\"x_customer.id\"", "take these two headers for one", ""),
    ("{ header = \"X-Assertion\"", "{ «header = \"X-Customer_Id\"", "take these two headers for one", ""),
    ("{ \"metadata.customer\" = \"subject\" }", "{ \"metadata.customer\" = \"subject\", «\"metadata.customer.id\" = \"subject\" }", "inside the other", ""),
    ("path = \"/admin/{*rest}\"", "path = \"/chats/{other}\"\nmethod = \"DELETE\"", "two routes match", "host, path or method"),
    ("algorithms = [\"RS256\", \"PS256\"], jwks_url = ", "algorithms = [\"HS256\"], jwks_url = «", "is public", ""),
    ("{ algorithm = \"HS256\", secret = { file = \"keys/site.key\" } },", "{ algorithm = \"ES256\", «secret = { file = \"keys/site.key\" } },", "needs `pem`", ""),
    ("name = \"widget\"\n", "name = \"site\"\n", "two verifiers", ""),
    ("leeway = \"10s\"", "«cookie = \"x\"", "`cookie` is not known", ""),
    ("[channel.app]", "[channel.«App]", "not a name", "a-z"),
    ("{ query = \"jwt\" }]", "{ path = \"idd\" }]", "no path of this channel has {idd}", "`id`"),
    ("capture = { thread = [{ json = \"$.thread\" },", "capture = { thread = [{ path = \"thread\" },", "no path of this channel has {thread}", ""),
];

#[rustfmt::skip]
const WARNINGS: &[Case] = &[
    ("text = \"Log in: {{ login_url }} ", "text = \"login_url: ", "does not say where to log in", "{{ login_url }}"),
    ("\"sqlite:tls/chain.pem\"", "«\"sqlite:records.db\"", "no such file yet", ""),
    ("unreachable = \"deny\"", "unreachable = «\"pass\"", "nobody is compared", ""),
    ("\"https://crm.internal/api/\"", "«\"http://crm.internal/api\"", "records over plain http", "https"),
    ("\"ldap://ldap.internal:3389\"\nstarttls = true\nca = \"tls/chain.pem\"\nserver_name = \"ldap.example.com\"", "«\"ldap://ldap.internal:3389\"", "can be read and changed", "ldaps"),
    ("[channel.web.websocket]\norigins = [\"https://chat.example.com\", \"https://app.example.com\"]\nmax_message = \"256KiB\"\non_expiry = \"close\"\nclose_code = 4403\nclose_reason = \"log in again\"", "«[channel.web.websocket]", "with the handshake only", "on_expiry"),
    ("owner = { cookie = \"own\" }\nflag = [{ header = { name = \"X-Private\" } }]\nchallenge = { html = \"<a href=\\\"{{ login_url }}\\\">log in</a>\" }\nnotify = { url = \"https://files.internal/in\", text = \"{{ outcome }}\", sign = { kind = \"webhook\", key = { file = \"keys/web.key\" } } }\nroute = [", "owner = «{ cookie = \"own\" }\nflag = [{ header = { name = \"X-Private\" } }]\nchallenge = { html = \"<a href=\\\"{{ login_url }}\\\">log in</a>\" }\nnotify = { url = \"https://files.internal/in\", text = \"{{ outcome }}\", sign = { kind = \"webhook\", key = { file = \"keys/web.key\" } } }\nroute = [{ kind = \"webhook\", path = \"/hook\", interaction = { json = \"$.to\" } }, ", "guessed the chat's id first", "same-browser"),
    ("owner = { cookie = \"own\" }\nflag = [{ header = { name = \"X-Private\" } }]\nchallenge = { html = \"<a href=\\\"{{ login_url }}\\\">log in</a>\" }\nnotify = { url = \"https://files.internal/in\", text = \"{{ outcome }}\", sign = { kind = \"webhook\", key = { file = \"keys/web.key\" } } }\nroute = [", "owner = «{ selector = { cookie = \"sid\" } }\nflag = [{ header = { name = \"X-Private\" } }]\nchallenge = { html = \"<a href=\\\"{{ login_url }}\\\">log in</a>\" }\nnotify = { url = \"https://files.internal/in\", text = \"{{ outcome }}\", sign = { kind = \"webhook\", key = { file = \"keys/web.key\" } } }\nroute = [{ kind = \"webhook\", path = \"/hook\", interaction = { json = \"$.to\" } }, ", "guessed the chat's id first", "same-browser"),
    ("{ file = \"keys/bot.key\" }", "«\"0123456789abcdef0123456789abcdef\"", "written into", "file ="),
    ("ca = \"tls/chain.pem\"", "verify = «false", "pretend", "`ca`"),
    ("owner = { cookie = \"own\" }\n", "", "taken for its owner", "`owner`"),
    ("from = [{ header = \"Authorization\", scheme = \"Bearer\" }, { query = \"jwt\" }]", "from = «{ header = \"authorization\" }", "scheme before the token", "scheme = \"Bearer\""),
    ("login_binding = \"confirm\"", "login_binding = «\"off\"", "forwarded login URL", "confirm"),
    ("{ cookie = \"own\" }", "{ cookie = «\"own-insecure\" }", "without it too", "own"),
    ("\"https://www.example.com/login\"\n", "«\"http://www.example.com/login\"\n", "plain http", "https"),
    ("\"https://www.example.com/session\"", "«\"http://www.example.com/session\"", "plain http", "https"),
    ("url = \"https://files.internal/in\"", "url = «\"http://files.internal/in\"", "read on the way", "https"),
    ("interaction_timeout = \"1h\"\n", "", "never expire", "authentication_token_ttl"),
    ("interaction_timeout = \"2h\"", "interaction_timeout = \"5m\"", "before its login URL", ""),
    ("text = \"Log in: {{ login_url }} ", "text = \"Log in {{ level }} ", "where to log in", "login_url"),
    ("resume = \"replay\"\nreplay_max_body = \"32KiB\"", "", "`continue_url`", "replay"),
    ("\"X-Session\" = \"{{ interaction }}\"", "\"X-Api-Key\" = «\"0123\"", "written into", ""),
    ("flag = [{ header = { name = \"X-Private\" } }]", "", "never asked to log in", ""),
    ("flag = [{ header = { name = \"X-Private\" } }]", "flag = [{ header = { name = «\"Connection\" } }]", "belongs to a connection", "X-Auth-Required"),
    ("flag = [{ header = { name = \"X-Private\" } }]", "flag = [{ header = { name = «\"upgrade\" } }]", "belongs to a connection", ""),
    ("flag = [{ header = { name = \"X-Private\" } }]", "flag = [{ json = \"$.x\", status = «[204, 304] }]", "never holds", "leave `json` out"),
    ("flag = [{ header = { name = \"X-Private\" } }]", "flag = [{ json = \"$.x\", status = «204 }]", "never holds", ""),
    ("\"https://login.example.com/tenant\"", "«\"http://login.example.com/tenant\"", "plain http", "https"),
    ("level = \"strong\"\nmax_failures", "level = «\"verified\"\nmax_failures", "no login reaches a level above `verified`", ""),
    ("strong = [\"urn:two\", \"urn:three\"] }", "verified = [\"urn:two\"] }", "no login reaches a level above `verified`", ""),
];

/// Replaces, and returns the place of the mark.
fn broken(case: &Case) -> (String, Option<(usize, usize)>) {
    let (find, replace, ..) = case;
    assert!(
        GOOD.contains(find),
        "{find} is not in the good configuration"
    );
    let mut text = GOOD.replacen(find, replace, 1);
    let mark = text.find('«').map(|at| {
        text.remove(at);
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        (
            line,
            before.rsplit('\n').next().unwrap().chars().count() + 1,
        )
    });
    (text, mark)
}

fn said(case: &Case, mark: Option<(usize, usize)>, mistakes: &[Diagnostic]) -> bool {
    let (_, _, message, help) = case;
    mistakes.iter().any(|mistake| {
        let place = mistake
            .place
            .as_ref()
            .map(|place| (place.line, place.column));
        let told = format!(
            "{} {}",
            mistake.message,
            mistake.help.as_deref().unwrap_or_default()
        );
        mistake.message.contains(message)
            && told.contains(help)
            && mark.is_none_or(|mark| place == Some(mark))
    })
}

#[test]
fn every_mistake_has_its_place_and_advice() {
    let dir = keys();
    let path = dir.path().join("chatgate.toml");
    let mut wrong = String::new();
    for case in ERRORS {
        let (text, mark) = broken(case);
        let errors = match parse(text, &path) {
            Ok(_) => Vec::new(),
            Err(mistakes) => mistakes.into_iter().filter(Diagnostic::is_error).collect(),
        };
        // One mistake makes one error, or two where it has two sides.
        if !said(case, mark, &errors) || errors.len() > 2 {
            wrong += &format!("{case:?} at {mark:?}:\n{}\n", check::shown(&errors));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let dir = keys();
    let path = dir.path().join("chatgate.toml");
    for case in WARNINGS {
        let (text, mark) = broken(case);
        let (_, warnings) =
            parse(&*text, &path).unwrap_or_else(|m| panic!("{case:?}\n{}", check::shown(&m)));
        assert!(
            said(case, mark, &warnings),
            "{case:?} at {mark:?}:\n{}",
            check::shown(&warnings)
        );
        assert_eq!(warnings.len(), 1, "{case:?}\n{}", check::shown(&warnings));
    }
}

/// What mends one of them mends the other.
#[test]
fn where_answers_come_by_webhooks_confirm_is_no_advice() {
    let dir = keys();
    let hook = "{ kind = \"webhook\", path = \"/hook\", interaction = { json = \"$.to\" } }";
    let text = GOOD.replace(
        "login_binding = \"same-browser\"\nroute = [",
        &format!("route = [{hook}, "),
    );
    assert_ne!(text, GOOD);
    let (_, warnings) = good(&text, dir.path());
    let advice: Vec<_> = warnings
        .iter()
        .filter_map(|one| one.help.as_deref())
        .collect();
    assert_eq!(advice.len(), 2, "{}", check::shown(&warnings));
    for help in advice {
        assert!(
            help.contains("same-browser") && !help.contains("confirm"),
            "{help}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_in_order() {
    let dir = keys();
    let text = GOOD
        .replace("workers = 2", "wrokers = 2")
        .replace("format = \"json\"", "format = 1")
        .replace("upstream = \"bot\"", "upstream = \"bto\"")
        .replace("encoding = \"base64\"", "encoding = \"base46\"")
        .replace("kind = \"end\"", "kind = \"edn\"");
    let mistakes = parse(text, &dir.path().join("x.toml")).unwrap_err();
    assert_eq!(mistakes.len(), 5, "{}", check::shown(&mistakes));
    let lines: Vec<_> = mistakes
        .iter()
        .map(|m| m.place.as_ref().unwrap().line)
        .collect();
    assert!(lines.is_sorted());
}

#[test]
fn both_places_of_a_tie_are_shown() {
    let dir = keys();
    let route = "[[channel.app.route]]\nkind = \"pass\"\npath = \"/x/{a}\"\n";
    let text = GOOD
        .replace("route = [{", "other = [{")
        .split("other = ")
        .next()
        .unwrap()
        .to_owned();
    let text = format!("{text}{route}{}", route.replace("{a}", "{b}"))
        .replace("flag = [{ header = { name = \"X-Private\" } }]\n", "");
    let mistakes = parse(text, &dir.path().join("x.toml")).unwrap_err();
    let tie = mistakes
        .iter()
        .find(|m| m.message.contains("two routes"))
        .unwrap();
    let (other, _) = tie.related.as_ref().unwrap();
    assert_eq!(tie.place.as_ref().unwrap().line, other.line + 3);
}

#[test]
fn broken_syntax_is_told_with_every_place() {
    let text = "[server]\npublic_url = http://x\n[[listener]\naddress = \"a\n";
    let mistakes = parse(text, Path::new("x.toml")).unwrap_err();
    let lines: Vec<_> = mistakes
        .iter()
        .map(|m| m.place.as_ref().unwrap().line)
        .collect();
    assert!(
        [2, 3].iter().all(|line| lines.contains(line)),
        "{}",
        check::shown(&mistakes)
    );
}
