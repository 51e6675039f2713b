//! Where the customers of the demo log in: at the website's own page, and at what else
//! this machine has: an LDAP server, an OpenID provider. Each has a channel of its own.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use super::server;
use crate::secret::random;

/// The LDAP server that is started if it is installed.
const SLAPD: &str = "/usr/sbin/slapd";
/// The OpenID provider that is started if its packages are installed.
const PROVIDER: &str = "tests/provider";
/// How long a program may take until it accepts connections.
const PATIENCE: Duration = Duration::from_secs(15);
/// Runs a program until our end of the pipe is closed, be it that we were killed.
const LEASH: &str = r#""$@" & cat; kill $!; wait $!; rm -rf "$directory""#;

/// A place where customers log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// A page of the website's.
    Page,
    /// chatgate's own page, with the accounts in an LDAP server.
    Ldap,
    /// An OpenID provider.
    Oidc,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Page, Self::Ldap, Self::Oidc];

    /// Its channel.
    pub const fn channel(self) -> &'static str {
        match self {
            Self::Page => "web",
            Self::Ldap => "ldap",
            Self::Oidc => "oidc",
        }
    }

    /// What the paths of its channel begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Page => "",
            Self::Ldap => "/ldap",
            Self::Oidc => "/oidc",
        }
    }

    /// What its channel says of the login.
    pub const fn keys(self) -> &'static str {
        match self {
            Self::Page => include_str!("../../../conf/demo/login/page.toml"),
            Self::Ldap => include_str!("../../../conf/demo/login/ldap.toml"),
            Self::Oidc => include_str!("../../../conf/demo/login/oidc.toml"),
        }
    }

    /// A table that its channel refers to.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Ldap => include_str!("../../../conf/demo/login/directory.toml"),
            Self::Page | Self::Oidc => "",
        }
    }

    /// Whether this machine has it.
    pub fn is_there(self) -> bool {
        match self {
            Self::Page => true,
            Self::Ldap => Path::new(SLAPD).is_file(),
            Self::Oidc => Path::new(PROVIDER)
                .join("node_modules/oidc-provider")
                .is_dir(),
        }
    }

    /// How a machine gets it.
    pub const fn wants(self) -> &'static str {
        match self {
            Self::Page => "",
            Self::Ldap => {
                "there is no LDAP server here: run `.ci/setup slapd`, and start the demo again"
            }
            Self::Oidc => {
                "there is no OpenID provider here: run `.ci/setup node`, and start the demo again from the same directory"
            }
        }
    }

    /// Starts it. `endpoints` is the URL of chatgate's own addresses.
    ///
    /// # Errors
    /// In words, when it does not start.
    pub fn open(self, endpoints: &str) -> Result<Login, String> {
        let (words, program) = match self {
            Self::Page => (Vec::new(), None),
            Self::Ldap => slapd().map(|(words, program)| (words, Some(program)))?,
            Self::Oidc => provider(endpoints).map(|(words, program)| (words, Some(program)))?,
        };
        Ok(Login {
            place: self,
            words,
            _program: program,
        })
    }
}

/// The path on its channel, and what it began with there.
pub fn of_channel(path: &str) -> (&'static str, &str) {
    let prefixes = Place::ALL.map(Place::prefix).into_iter();
    let mut longer = prefixes.filter(|prefix| !prefix.is_empty());
    let found = longer.find_map(|prefix| {
        let rest = path.strip_prefix(prefix)?;
        rest.starts_with('/').then_some((prefix, rest))
    });
    found.unwrap_or(("", path))
}

/// A place that is open.
pub struct Login {
    /// Which.
    pub place: Place,
    /// Words of the configuration that are known now.
    pub words: Vec<(&'static str, String)>,
    /// Ends with the value, or with this process.
    _program: Option<Child>,
}

type Started = (Vec<(&'static str, String)>, Child);

fn slapd() -> Result<Started, String> {
    let at = address()?;
    let (directory, password) = (private_directory()?, hex::encode(random::<16>()));
    let place = directory.display().to_string();
    let written = |name: &str, text: &str| {
        let text = text.replace("@directory@", &place);
        fs::write(directory.join(name), text.replace("@password@", &password)).map_err(cannot)
    };
    written(
        "slapd.conf",
        include_str!("../../../conf/demo/slapd/slapd.conf"),
    )?;
    written(
        "people.ldif",
        include_str!("../../../conf/demo/slapd/people.ldif"),
    )?;
    let settings = directory.join("slapd.conf");
    let loaded = Command::new("/usr/sbin/slapadd")
        .args(["-q", "-f"])
        .arg(&settings)
        .arg("-l")
        .arg(directory.join("people.ldif"))
        .output();
    let loaded = loaded.map_err(cannot)?;
    if !loaded.status.success() {
        // It holds a password.
        let _ = fs::remove_dir_all(&directory);
        let why = String::from_utf8_lossy(&loaded.stderr);
        return Err(format!("slapadd: {}", why.trim()));
    }
    let mut program = Command::new(SLAPD);
    program.args(["-d", "0", "-h", &format!("ldap://{at}/"), "-f"]);
    program.arg(settings);
    let program = leashed(&program, Some(&directory), at)?;
    let words = vec![("ldap", at.to_string()), ("ldap_password", password)];
    Ok((words, program))
}

fn provider(endpoints: &str) -> Result<Started, String> {
    let (at, secret) = (address()?, hex::encode(random::<16>()));
    let mut program = Command::new("node");
    program.arg(Path::new(PROVIDER).join("provider.js"));
    program.args([&at.port().to_string(), endpoints]);
    // Other than arguments, it is not for everybody to see.
    program.env("DEMO_CLIENT_SECRET", &secret);
    let program = leashed(&program, None, at)?;
    let words = vec![
        ("issuer", format!("http://{at}")),
        ("client_secret", secret),
    ];
    Ok((words, program))
}

/// Starts a program, and waits until it accepts connections.
fn leashed(program: &Command, directory: Option<&Path>, at: SocketAddr) -> Result<Child, String> {
    let mut child = Command::new("sh")
        .args(["-c", LEASH, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .env("directory", directory.unwrap_or(Path::new("")))
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(cannot)?;
    let patience = Instant::now() + PATIENCE;
    while TcpStream::connect(at).is_err() {
        if Instant::now() > patience || child.try_wait().map_err(cannot)?.is_some() {
            let name = program.get_program().to_string_lossy();
            return Err(format!("`{name}` does not start"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(child)
}

fn address() -> Result<SocketAddr, String> {
    let (_, address) = server::listen().map_err(cannot)?;
    Ok(address)
}

/// A new directory that nobody else can look into.
fn private_directory() -> Result<PathBuf, String> {
    let name = format!("chatgate-demo-{}", hex::encode(random::<8>()));
    let directory = env::temp_dir().join(name);
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700).create(&directory).map_err(cannot)?;
    Ok(directory)
}

fn cannot(error: io::Error) -> String {
    error.to_string()
}
