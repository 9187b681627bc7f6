//! Fetches iCalendars from their addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
    redirect::Policy,
};
use url::{Host, Url};

use super::{Ical, IcalError, IcalReading, IcalUrl, ical::SIZE_MAX};

/// How long a whole answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The most redirects that are followed, all on the same host.
const REDIRECTS_MAX: usize = 5;
/// The longest `ETag` or `Last-Modified` that is kept, in bytes.
const VALIDATOR_MAX: usize = 200;

/// What a server said about the version of an iCalendar, to ask only for a newer one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) modified: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The iCalendar.
    Read(IcalReading, Validators),
    /// It is as it was.
    Unchanged,
}

/// Fetches iCalendars. Redirects stay on the host, and private addresses are refused unless they are allowed. Names are
/// resolved and checked by the client that connects, so that a name cannot lead elsewhere in between.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    private: bool,
}

impl Fetcher {
    /// `private` allows addresses on this machine and in private networks.
    ///
    /// # Errors
    /// Returns an error if the client cannot be set up.
    pub(crate) fn new(private: bool) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            // A proxy would resolve names by itself.
            .no_proxy()
            .dns_resolver(Arc::new(Checked { private }))
            .redirect(Policy::custom(|attempt| {
                let first = attempt.previous().first();
                let stays = first.is_some_and(|first| same_host(first, attempt.url()));
                if !stays {
                    attempt.error("it redirects to another host")
                } else if attempt.previous().len() > REDIRECTS_MAX {
                    attempt.error("it redirects too often")
                } else {
                    attempt.follow()
                }
            }))
            .user_agent(concat!("markback/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .build()?;
        Ok(Self { client, private })
    }

    /// Fetches an iCalendar, or learns that it is as it was.
    ///
    /// # Errors
    /// Returns an error if it cannot be fetched, is larger than 1 MB or is not a complete iCalendar.
    pub(crate) async fn fetch(
        &self,
        ical: &Ical,
        url: &IcalUrl,
        known: &Validators,
    ) -> Result<Fetched, IcalError> {
        let unreached = |why: String| IcalError::Unreached {
            place: ical.told(),
            why,
        };
        if !self.private && literal(url.as_url()).is_some_and(|ip| !is_public(ip)) {
            return Err(unreached(PRIVATE.to_owned()));
        }
        let mut request = self.client.get(url.as_url().clone());
        for (name, value) in [
            (IF_NONE_MATCH, &known.etag),
            (IF_MODIFIED_SINCE, &known.modified),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        let mut answer = request
            .send()
            .await
            .map_err(|error| unreached(reason(&error)))?;
        match answer.status() {
            StatusCode::NOT_MODIFIED if *known != Validators::default() => {
                return Ok(Fetched::Unchanged);
            }
            status if !status.is_success() => {
                return Err(unreached(format!(
                    "the server answered {}",
                    status.as_u16()
                )));
            }
            _ => {}
        }
        let header = |name| answer.headers().get(name).and_then(short);
        let validators = Validators {
            etag: header(ETAG),
            modified: header(LAST_MODIFIED),
        };
        let mut bytes = Vec::new();
        while let Some(part) = answer
            .chunk()
            .await
            .map_err(|error| unreached(reason(&error)))?
        {
            bytes.extend_from_slice(&part);
            if bytes.len() as u64 > SIZE_MAX {
                return Err(IcalError::TooLarge { path: ical.told() });
            }
        }
        Ok(Fetched::Read(ical.parse(bytes)?, validators))
    }
}

const PRIVATE: &str = "the address is on this machine or in a private network, which `private_calendars` in the settings \
     does not allow";

fn short(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    (text.len() <= VALIDATOR_MAX).then(|| text.to_owned())
}

/// Why a request failed, without its address, of which a part may be secret.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() {
        "the server did not answer in time".to_owned()
    } else if error.is_redirect() || cause.is::<Refused>() {
        cause.to_string()
    } else if error.is_connect() {
        "there is no connection to the server".to_owned()
    } else {
        "the answer broke off or cannot be read".to_owned()
    }
}

/// The same host and port, and not less secure.
fn same_host(one: &Url, other: &Url) -> bool {
    let upgraded = one.scheme() == "http" && other.scheme() == "https";
    let same_port = one.port_or_known_default() == other.port_or_known_default();
    one.host() == other.host()
        && ((one.scheme() == other.scheme() && same_port)
            || (upgraded && one.port().is_none() && other.port().is_none()))
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

/// Resolves names to addresses that may be used.
struct Checked {
    private: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("{PRIVATE}")]
struct Refused;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| private || is_public(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(Refused.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// Whether an address can be anybody's on the internet.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = matches!(
        (a, b, c),
        // This network, carrier-grade NAT, protocol assignments, benchmarks, reserved.
        (0, ..) | (100, 64..=127, _) | (192, 0, 0) | (198, 18..=19, _) | (240..=255, ..)
    );
    !(special
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b, c, d, e, f) {
        // Addresses that carry one of version 4: mapped, compatible, NAT64, 6to4.
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => is_public_v4(embedded(g, h)),
        (0x2002, ..) => is_public_v4(embedded(b, c)),
        // Global unicast, without documentation and Teredo.
        _ => (0x2000..=0x3fff).contains(&a) && !(a == 0x2001 && matches!(b, 0 | 0xdb8)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("8.8.8.8", true)]
    #[case("2606:4700::1111", true)]
    #[case("127.0.0.1", false)]
    #[case("0.0.0.0", false)]
    #[case("10.1.2.3", false)]
    #[case("172.16.0.1", false)]
    #[case("192.168.0.1", false)]
    #[case("169.254.169.254", false)]
    #[case("100.64.0.1", false)]
    #[case("198.19.0.1", false)]
    #[case("224.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("::1", false)]
    #[case("::", false)]
    #[case("fd00::1", false)]
    #[case("fe80::1", false)]
    #[case("ff02::1", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("::ffff:8.8.8.8", true)]
    #[case("64:ff9b::10.0.0.1", false)]
    #[case("2002:7f00:1::", false)]
    #[case("2001:db8::1", false)]
    fn private_addresses_are_told_from_public_ones(#[case] ip: &str, #[case] public: bool) {
        assert_eq!(is_public(ip.parse().unwrap()), public);
    }

    #[rstest]
    #[case("https://a.org/x", "https://a.org/y", true)]
    #[case("http://a.org/x", "https://a.org/x", true)]
    #[case("https://a.org/x", "http://a.org/x", false)]
    #[case("https://a.org/x", "https://b.org/x", false)]
    #[case("https://a.org/x", "https://www.a.org/x", false)]
    #[case("https://a.org/x", "https://a.org:444/x", false)]
    fn a_redirect_stays_on_its_host(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
        let url = |text: &str| text.parse().unwrap();
        assert_eq!(same_host(&url(one), &url(other)), same);
    }
}
