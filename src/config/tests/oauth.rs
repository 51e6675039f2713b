//! `[channel.NAME.oauth]`.

use super::*;

const SERVER: &str = r#"[channel.help.oauth]
authorization_url = "https://login.example.com/authorize?brand=bank"
token_url = "https://login.example.com/token"
userinfo_url = "https://login.example.com/me"
client_id = "chatgate"
client_secret = { file = "keys/bot.key" }
"#;

fn with(server: &str) -> String {
    let (before, _) = GOOD.split_once("[channel.help.oidc]").unwrap();
    format!("{before}{server}")
}

#[test]
fn a_server_needs_its_three_addresses_and_a_client() {
    let dir = keys();
    let (config, warnings) = good(&with(SERVER), dir.path());
    assert_eq!(warnings, Vec::new());
    let login = config.channel("help").unwrap().login.as_ref().unwrap();
    let server = login.provider().unwrap();
    let metadata = server.oauth.as_ref().unwrap();
    assert_eq!(&*metadata.token_endpoint, "https://login.example.com/token");
    assert_eq!((&metadata.issuer, metadata.names_itself), (&None, false));
    assert_eq!((&*server.scopes, &*server.subject), ("", "sub"));
    assert!(matches!(
        server.authentication,
        ClientAuthentication::Basic(_)
    ));
    assert!(server.claims.is_none());
    assert_eq!(server.levels.otherwise, None);
    assert!(check::summary(&config).contains("login at the provider https://login.example.com/a"));

    let all = "issuer = \"https://login.example.com\"\nclient_authentication = \"post\"\n\
               scopes = [\"profile\", \"email\"]\nsubject_claim = \"id\"\nclaims = [\"email\"]\n\
               level = \"strong\"\ntimeout = \"3s\"\n";
    let (config, warnings) = good(&with(&format!("{SERVER}{all}")), dir.path());
    assert_eq!(warnings, Vec::new());
    let login = config.channel("help").unwrap().login.as_ref().unwrap();
    let server = login.provider().unwrap();
    assert!(server.oauth.as_ref().unwrap().names_itself);
    assert_eq!((&*server.scopes, &*server.subject), ("profile email", "id"));
    assert_eq!(server.timeout, Duration::from_secs(3));
}

#[test]
fn every_mistake_is_told() {
    let dir = keys();
    for (find, replace, wanted) in [
        ("authorization_url", "auth_url", "`auth_url` is not known"),
        (
            "token_url = \"https://login.example.com/token\"\n",
            "",
            "`token_url` is missing",
        ),
        (
            "userinfo_url = \"https://login.example.com/me\"\n",
            "",
            "`userinfo_url` is missing",
        ),
        (
            "client_secret = { file = \"keys/bot.key\" }\n",
            "",
            "`client_secret` is missing",
        ),
        (
            "\"https://login.example.com/me\"",
            "\"/me\"",
            "must begin with http",
        ),
        (
            "\"https://login.example.com/me\"",
            "\"http://login.example.com/me\"",
            "anybody on the way",
        ),
        (
            "\"https://login.example.com/token\"",
            "\"http://login.example.com/token\"",
            "anybody on the way",
        ),
        (
            "\"https://login.example.com/auth",
            "\"http://login.example.com/auth",
            "anybody on the way",
        ),
        ("?brand=bank", "?st%61te=x", "`state` is added by chatgate"),
        (
            "?brand=bank",
            "?brand=bank&scope=all",
            "`scope` is added by chatgate",
        ),
        (
            "client_id =",
            "max_age = \"5m\"\nclient_id =",
            "`max_age` is not known",
        ),
        (
            "client_id =",
            "acr_values = { verified = \"x\" }\nclient_id =",
            "`acr_values` is not known",
        ),
        (
            "client_id =",
            "prompt = \"login\"\nclient_id =",
            "`prompt` is not known",
        ),
        (
            "client_id =",
            "scopes = [\"a b\"]\nclient_id =",
            "not a scope",
        ),
        (
            "client_id =",
            "level = \"storng\"\nclient_id =",
            "no such level",
        ),
        (
            "client_id =",
            "client_authentication = \"none\"\nclient_id =",
            "no such client_authentication",
        ),
    ] {
        assert!(SERVER.contains(find), "{find}");
        let text = with(&SERVER.replacen(find, replace, 1));
        let told = parse(text, &dir.path().join("chatgate.toml"));
        let told = told.map_or_else(|mistakes| check::shown(&mistakes), |_| "nothing".into());
        assert!(told.contains(wanted), "{replace}: {told}");
    }
}

#[test]
fn customers_log_in_at_one_place() {
    let dir = keys();
    let path = dir.path().join("chatgate.toml");
    let told = parse(format!("{GOOD}\n{SERVER}"), &path).unwrap_err();
    assert!(check::shown(&told).contains("`oauth` and `oidc` exclude each other"));
    let foreign = with(SERVER).replace(
        "challenge = { text = \"Please log in: {{ login_url }}\" }",
        "return_tolerance = \"1m\"\nchallenge = { text = \"{{ login_url }}\" }",
    );
    let told = parse(foreign, &path).unwrap_err();
    assert!(check::shown(&told).contains("goes with `authentication_url`"));
    // A level that a flag may demand, and that no login reaches.
    let low = with(&format!("{SERVER}level = \"claimed\"\n"));
    let (_, warnings) = good(&low, dir.path());
    assert!(check::shown(&warnings).contains("no login reaches a level above `claimed`"));
    // On this machine plain http is nobody else's business.
    let local = with(&SERVER.replace("https://login.example.com", "http://127.0.0.1:8081"));
    assert_eq!(good(&local, dir.path()).1, Vec::new());
}
