//! A real LDAP server: OpenLDAP's `slapd`, with three people and two of one name.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::{eventually, ports, tls};

/// Whom searches are made as.
pub const SERVICE: &str = "cn=chatgate,dc=example,dc=com";
/// The password of [`SERVICE`].
pub const SERVICE_PASSWORD: &str = "service-canary";
/// The password of `alice`, which a form has to encode.
pub const PASSWORD: &str = "päss+word& 100%";
/// Below it are all people.
pub const PEOPLE: &str = "ou=people,dc=example,dc=com";

/// A running server. It can be killed, and comes back with what it had.
pub struct Slapd {
    /// LDAP, with StartTLS.
    pub plain: SocketAddr,
    /// LDAPS.
    pub tls: SocketAddr,
    directory: TempDir,
    child: Mutex<Option<Child>>,
}

/// What somebody wants of a server beside what it has.
#[derive(Default)]
pub struct More<'a> {
    /// Settings of the whole server: schemas, modules.
    pub schema: &'a str,
    /// Settings of the database.
    pub database: &'a str,
    /// Entries, as LDIF.
    pub entries: &'a str,
}

impl Slapd {
    /// Starts one. `None` where it is not installed (`.ci/setup slapd`), so that
    /// `cargo test` alone passes; with `CHATGATE_TEST_BACKENDS` set (as `make test`
    /// does) that is a failure.
    pub fn start() -> Option<Self> {
        Self::with(&More::default())
    }

    /// The same with more in it.
    pub fn with(more: &More<'_>) -> Option<Self> {
        if !Path::new("/usr/sbin/slapd").is_file() {
            let wanted = std::env::var_os("CHATGATE_TEST_BACKENDS").is_some();
            assert!(!wanted, "run `.ci/setup slapd`");
            eprintln!("skipped: no slapd");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("data")).unwrap();
        let written = |name: &str, text: &str| std::fs::write(root.join(name), text).unwrap();
        let certificate = tls::certificate();
        let (chain, key) = (certificate.chain.display(), certificate.key.display());
        let at = root.display();
        let More {
            schema,
            database,
            entries,
        } = more;
        written(
            "slapd.conf",
            &format!(
                "include /etc/ldap/schema/core.schema\n\
                 include /etc/ldap/schema/cosine.schema\n\
                 include /etc/ldap/schema/inetorgperson.schema\n\
                 {schema}\n\
                 modulepath /usr/lib/ldap\nmoduleload back_mdb\n\
                 pidfile {at}/pid\nargsfile {at}/args\n\
                 TLSCertificateFile {chain}\nTLSCertificateKeyFile {key}\nTLSVerifyClient never\n\
                 disallow bind_anon\nallow bind_anon_cred\n\
                 database mdb\nsuffix \"dc=example,dc=com\"\ndirectory {at}/data\nmaxsize 8388608\n\
                 {database}\n\
                 access to attrs=userPassword by anonymous auth by * none\n\
                 access to * by dn.exact=\"{SERVICE}\" read by * none\n"
            ),
        );
        written("seed.ldif", &(seed() + entries));
        let loaded = Command::new("/usr/sbin/slapadd")
            .args(["-q", "-f"])
            .arg(root.join("slapd.conf"))
            .arg("-l")
            .arg(root.join("seed.ldif"))
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{loaded:?}");
        let slapd = Self {
            plain: ports::free(),
            tls: ports::free(),
            directory,
            child: Mutex::default(),
        };
        slapd.come_back();
        Some(slapd)
    }

    /// Starts it again on the same addresses.
    pub fn come_back(&self) {
        let child = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-f"])
            .arg(self.directory.path().join("slapd.conf"))
            .args([
                "-h",
                &format!("ldap://{}/ ldaps://{}/", self.plain, self.tls),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        for address in [self.plain, self.tls] {
            eventually("slapd accepts", || TcpStream::connect(address).ok());
        }
    }

    /// It dies, with all its connections.
    pub fn die(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The table `[directory.people]` over LDAPS, `more` in it.
    pub fn table(&self, more: &str) -> String {
        let ca = tls::certificate().chain.display();
        format!(
            "[directory.people]\nkind = \"ldap\"\nurl = \"ldaps://{}\"\nca = \"{ca}\"\n\
             bind_dn = \"{SERVICE}\"\nbind_password = \"{SERVICE_PASSWORD}\"\n\
             base = \"{PEOPLE}\"\n{more}\n",
            self.tls
        )
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        self.die();
    }
}

fn seed() -> String {
    // What is not ASCII is written in Base64 (RFC 2849).
    let person = |name: &str, password: &str, more: &str| {
        let line = |key: &str, value: &str| format!("{key}:: {}\n", STANDARD.encode(value));
        [
            &line("dn", &format!("uid={name},{PEOPLE}")),
            "objectClass: inetOrgPerson\n",
            &line("uid", name),
            &line("cn", name),
            &line("sn", name),
            &line("userPassword", password),
            more,
            "\n",
        ]
        .concat()
    };
    let unit = |name: &str| {
        format!("dn: ou={name},dc=example,dc=com\nobjectClass: organizationalUnit\nou: {name}\n\n")
    };
    [
        "dn: dc=example,dc=com\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: example\n\n".to_owned(),
        format!("dn: {SERVICE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: chatgate\nuserPassword: {SERVICE_PASSWORD}\n\n"),
        unit("people"),
        unit("groups"),
        person("alice", PASSWORD, "mail: alice@example.com\nmobile: 1\nmobile: 2\nemployeeNumber: 17\n"),
        person("bob", "bob-password", "mail: bob@example.com\n"),
        // Two entries that answer to one address.
        person("carol", "carol-password", "mail: shared@example.com\n"),
        person("karol", "carol-password", "mail: shared@example.com\n"),
        person("zoë", "zoe-password", ""),
        format!("dn: cn=customers,ou=groups,dc=example,dc=com\nobjectClass: groupOfNames\ncn: customers\nmember: uid=alice,{PEOPLE}\n\n"),
    ]
    .concat()
}
