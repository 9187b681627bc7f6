//! Calls to addresses that somebody names: only public ones, unless the settings allow others.
//!
//! Whoever may name an address could otherwise reach the service's own network through it: a database beside it, the
//! metadata of its cloud. A name is resolved by our own resolver, which checks every address of the answer, and the
//! connection goes to an address of that answer. So a name that is public when it is checked and private when it is used
//! gains nothing. Redirects are not followed, and no proxy is used.

use std::{
    error::Error as StdError,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use ipnet::IpNet;
use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use url::{Host, Url};

use crate::settings::TargetSettings;

/// How long a connection to a target may stay idle.
const IDLE: Duration = Duration::from_secs(30);

/// Why an address is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no web address.
    #[error("this is not the address of a web service; write one that begins with https://")]
    NoWebAddress,
    /// It is not encrypted.
    #[error("the address is not encrypted; write https://")]
    NotEncrypted,
    /// It holds a user name or a password.
    #[error("there is a user name or a password in the address; leave it out")]
    Credentials,
    /// It leads into a network that is not public.
    #[error(
        "the address leads to {0}, which is not on the public internet; if it may be called, add its network to \
         `targets.allow` in the settings file"
    )]
    NotPublic(IpAddr),
}

/// Which addresses may be called.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    allow: Arc<[IpNet]>,
    loopback: bool,
}

impl Targets {
    /// Those that the settings allow.
    pub fn new(settings: &TargetSettings) -> Self {
        Self {
            allow: settings.allow.as_slice().into(),
            loopback: settings.loopback,
        }
    }

    /// Checks an address as far as that needs no network. A name is resolved and checked when it is called.
    ///
    /// # Errors
    /// Returns a [`TargetError`] if it must not be called.
    pub fn check(&self, url: &Url) -> Result<(), TargetError> {
        let host = url.host().ok_or(TargetError::NoWebAddress)?;
        let is_this_machine = match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(ip) => is_loopback(ip.into()),
            Host::Ipv6(ip) => is_loopback(ip.into()),
        };
        match url.scheme() {
            "https" => {}
            "http" if self.loopback && is_this_machine => {}
            "http" => return Err(TargetError::NotEncrypted),
            _ => return Err(TargetError::NoWebAddress),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        match host {
            Host::Domain(_) => Ok(()),
            Host::Ipv4(ip) => self.check_ip(ip.into()),
            Host::Ipv6(ip) => self.check_ip(ip.into()),
        }
    }

    /// Checks an IP address.
    ///
    /// # Errors
    /// Returns [`TargetError::NotPublic`] if it must not be called.
    pub fn check_ip(&self, ip: IpAddr) -> Result<(), TargetError> {
        let canonical = ip.to_canonical();
        let is_allowed = is_public(canonical)
            || self.loopback && is_loopback(canonical)
            || self
                .allow
                .iter()
                .any(|network| network.contains(&canonical));
        is_allowed
            .then_some(())
            .ok_or(TargetError::NotPublic(canonical))
    }

    /// A client that resolves each name itself and connects only to addresses that it has checked. It follows no redirects
    /// and uses no proxy. Check each address with [`Targets::check`] before it is called: a client does not resolve
    /// addresses that are numbers.
    ///
    /// # Errors
    /// Returns an error if TLS cannot be set up.
    pub fn client(&self, within: Duration) -> reqwest::Result<reqwest::Client> {
        self.client_with(within, Arc::new(SystemLookup))
    }

    fn client_with(
        &self,
        within: Duration,
        lookup: Arc<dyn Lookup>,
    ) -> reqwest::Result<reqwest::Client> {
        let resolver = CheckedResolver {
            targets: self.clone(),
            lookup,
        };
        reqwest::Client::builder()
            .dns_resolver(Arc::new(resolver))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(within)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("markback/", env!("CARGO_PKG_VERSION")))
            .build()
    }
}

impl TargetError {
    /// The reason inside the error of a client, if the address was not called.
    pub fn within<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        std::iter::successors(Some(error), |&error| error.source())
            .find_map(|error| error.downcast_ref())
    }
}

/// Resolves names. Tests have their own.
trait Lookup: Send + Sync {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }
}

struct CheckedResolver {
    targets: Targets,
    lookup: Arc<dyn Lookup>,
}

impl fmt::Debug for CheckedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckedResolver").finish_non_exhaustive()
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.lookup.lookup(name.as_str().to_owned());
        let targets = self.targets.clone();
        Box::pin(async move {
            let addresses = found.await?;
            // One private address among public ones could be the one that is connected to.
            for address in &addresses {
                targets.check_ip(address.ip())?;
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether the address is on the public internet, by IANA's registries of special-purpose addresses.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        // 240.0.0.0/4 is reserved, and includes the broadcast address.
        || a >= 240
        // Shared by a provider's customers.
        || a == 100 && b & 0xc0 == 64
        // Protocol assignments, and the former relays of 6to4.
        || a == 192 && (b == 0 && c == 0 || b == 88 && c == 99)
        // Benchmarks.
        || a == 198 && b & 0xfe == 18)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    if [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] {
        // A gateway translates the last 32 bits to an IPv4 address.
        let [high, low] = [g, h].map(u16::to_be_bytes);
        return is_public_v4(Ipv4Addr::new(high[0], high[1], low[0], low[1]));
    }
    // 2000::/3 is all that was given out for the internet.
    a & 0xe000 == 0x2000
        // Protocol assignments, among them Teredo, which holds an IPv4 address.
        && !(a == 0x2001 && b < 0x200)
        && !(a == 0x2001 && b == 0xdb8)
        // 6to4 holds an IPv4 address.
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rstest::rstest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn targets(allow: &[&str], loopback: bool) -> Targets {
        Targets::new(&TargetSettings {
            allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
            loopback,
        })
    }

    #[rstest]
    #[case("8.8.8.8", true)]
    #[case("1.1.1.1", true)]
    #[case("172.32.0.1", true)]
    #[case("100.128.0.1", true)]
    #[case("2606:4700:4700::1111", true)]
    #[case("::ffff:8.8.8.8", true)]
    #[case("64:ff9b::808:808", true)]
    #[case("0.0.0.0", false)]
    #[case("10.0.0.1", false)]
    #[case("172.16.0.1", false)]
    #[case("172.31.255.255", false)]
    #[case("192.168.1.1", false)]
    #[case("127.0.0.1", false)]
    #[case("127.9.9.9", false)]
    #[case("169.254.169.254", false)]
    #[case("100.64.0.1", false)]
    #[case("192.0.0.8", false)]
    #[case("192.0.2.1", false)]
    #[case("198.18.0.1", false)]
    #[case("198.19.255.255", false)]
    #[case("198.51.100.1", false)]
    #[case("203.0.113.9", false)]
    #[case("224.0.0.1", false)]
    #[case("240.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("::", false)]
    #[case("::1", false)]
    #[case("::7f00:1", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("::ffff:10.0.0.1", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("64:ff9b::a00:1", false)]
    #[case("64:ff9b:1::1", false)]
    #[case("fc00::1", false)]
    #[case("fd00:ec2::254", false)]
    #[case("fe80::1", false)]
    #[case("fec0::1", false)]
    #[case("ff02::1", false)]
    #[case("2001:db8::1", false)]
    #[case("2001::1", false)]
    #[case("2002:7f00:1::1", false)]
    #[case("3fff::1", false)]
    #[case("100::1", false)]
    fn only_public_addresses_are_called(#[case] ip: IpAddr, #[case] is_public: bool) {
        let checked = targets(&[], false).check_ip(ip);
        assert_eq!(checked.is_ok(), is_public, "{checked:?}");
    }

    #[rstest]
    #[case("10.1.2.3", true)]
    #[case("::ffff:10.1.2.3", true)]
    #[case("10.1.3.3", false)]
    #[case("fd00:1::5", true)]
    #[case("fd00:2::5", false)]
    #[case("127.0.0.1", false)]
    fn networks_that_the_settings_allow_are_called(#[case] ip: IpAddr, #[case] is_allowed: bool) {
        let targets = targets(&["10.1.2.0/24", "fd00:1::/64"], false);
        assert_eq!(targets.check_ip(ip).is_ok(), is_allowed);
    }

    #[rstest]
    #[case("https://hooks.example.com/a?b=c", false, None)]
    #[case("https://8.8.8.8/", false, None)]
    #[case("http://hooks.example.com/", false, Some(TargetError::NotEncrypted))]
    #[case("http://hooks.example.com/", true, Some(TargetError::NotEncrypted))]
    #[case("http://8.8.8.8/", true, Some(TargetError::NotEncrypted))]
    #[case("http://127.0.0.1:80/", false, Some(TargetError::NotEncrypted))]
    #[case("http://127.0.0.1:80/", true, None)]
    #[case("http://localhost:80/", true, None)]
    #[case("http://[::1]:80/", true, None)]
    #[case("ftp://hooks.example.com/", true, Some(TargetError::NoWebAddress))]
    #[case("file:///etc/passwd", true, Some(TargetError::NoWebAddress))]
    #[case("data:text/plain,x", true, Some(TargetError::NoWebAddress))]
    #[case(
        "https://me:secret@hooks.example.com/",
        false,
        Some(TargetError::Credentials)
    )]
    #[case("https://me@hooks.example.com/", false, Some(TargetError::Credentials))]
    #[case("https://127.0.0.1/", false, Some(refused("127.0.0.1")))]
    #[case("https://2130706433/", false, Some(refused("127.0.0.1")))]
    #[case("https://0x7f.1/", false, Some(refused("127.0.0.1")))]
    #[case(
        "https://169.254.169.254/latest",
        false,
        Some(refused("169.254.169.254"))
    )]
    #[case("https://[::ffff:10.0.0.1]/", false, Some(refused("10.0.0.1")))]
    fn an_address_is_checked(
        #[case] url: Url,
        #[case] loopback: bool,
        #[case] expected: Option<TargetError>,
    ) {
        assert_eq!(targets(&[], loopback).check(&url).err(), expected);
    }

    fn refused(ip: &str) -> TargetError {
        TargetError::NotPublic(ip.parse().unwrap())
    }

    /// Answers each question with the next of its answers, and then always with the last.
    struct Answers(Mutex<Vec<Vec<SocketAddr>>>);

    impl Answers {
        fn new(answers: &[&[&str]]) -> Arc<Self> {
            let read = |one: &&[&str]| one.iter().map(|ip| ip.parse().unwrap()).collect();
            let mut answers: Vec<_> = answers.iter().map(read).collect();
            answers.reverse();
            Arc::new(Self(Mutex::new(answers)))
        }
    }

    impl Lookup for Answers {
        fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let mut answers = self.0.lock().unwrap();
            let answer = match answers.len() {
                1 => answers[0].clone(),
                _ => answers.pop().unwrap(),
            };
            Box::pin(async move { Ok(answer) })
        }
    }

    #[tokio::test]
    async fn a_name_that_turns_private_after_its_check_is_not_called() {
        let resolver = CheckedResolver {
            targets: targets(&[], false),
            lookup: Answers::new(&[
                &["8.8.8.8:0"],
                &["10.0.0.1:0"],
                &["8.8.8.8:0", "[fd00::1]:0"],
            ]),
        };
        let asked = async || {
            let found = resolver.resolve("hooks.example.com".parse().unwrap()).await;
            found.map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(asked().await.unwrap(), ["8.8.8.8:0".parse().unwrap()]);
        let error = asked().await.unwrap_err();
        assert_eq!(TargetError::within(&*error), Some(&refused("10.0.0.1")));
        let error = asked().await.unwrap_err();
        assert_eq!(TargetError::within(&*error), Some(&refused("fd00::1")));
    }

    #[tokio::test]
    async fn a_client_connects_to_the_address_that_was_checked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            let reply =
                b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(reply).await.unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let url = format!("http://hooks.example.com:{port}/in");
        let lookup = Answers::new(&[&["127.0.0.1:0"]]);
        let within = Duration::from_secs(60);
        let strict = targets(&[], false)
            .client_with(within, lookup.clone())
            .unwrap();
        let error = strict.post(&url).send().await.unwrap_err();
        assert_eq!(TargetError::within(&error), Some(&refused("127.0.0.1")));

        let allowed = targets(&["127.0.0.0/8"], false);
        let client = allowed.client_with(within, lookup).unwrap();
        // The redirect is not followed.
        assert_eq!(client.post(&url).send().await.unwrap().status(), 302);
        let request = answer.await.unwrap();
        assert!(request.starts_with("POST /in HTTP/1.1"), "{request}");
        assert!(
            request.contains(&format!("host: hooks.example.com:{port}")),
            "{request}"
        );
    }
}
