//! The hosts that are trusted with the token, and the addresses of requests.

use std::net::IpAddr;

use url::{Host, Url};

use crate::error::{Error, Result};

/// Wonde's own domain; hosts below it are its regions \[D\].
const WONDE: &str = "wonde.com";

/// A host that is trusted with the token, and the base path of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    base: Url,
}

impl Origin {
    /// Reads a base URL such as `https://api.wonde.com/v1.0`.
    pub(crate) fn parse(base: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::config(format!(
                "the base URL {why}; write it like https://api.wonde.com/v1.0"
            ))
        };
        let mut base = Url::parse(base.trim()).map_err(|_| wrong("cannot be read"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong("is not an http or https URL"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("contains a user name or password"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("contains a query or fragment"));
        }
        if base.scheme() == "http" && is_wonde(&base) {
            return Err(wrong("would send the token to Wonde unencrypted"));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        Ok(Self { base })
    }

    /// The host that a school's region names, if it is trusted with the token.
    ///
    /// Trusted are Wonde's own hosts, this host, and those in `allowed`, each with or without a port. If this host is
    /// on loopback, as in tests, every loopback address is trusted.
    pub(crate) fn region(&self, domain: &str, allowed: &[String]) -> Result<Self> {
        let domain = domain.trim();
        let refused = |why: &str| {
            Error::foreign(format!(
                "the school's region names the host `{}`, {why}; the token is not sent there",
                domain
                    .chars()
                    .filter(|c| c.is_ascii_graphic())
                    .take(100)
                    .collect::<String>()
            ))
        };
        let at = parse_authority(domain).ok_or_else(|| refused("which is not a valid host"))?;
        let mut base = self.base.clone();
        base.set_host(at.host_str())
            .map_err(|_| refused("which is not a valid host"))?;
        if is_wonde(&at) && at.port().is_none() {
            base.set_scheme("https")
                .map_err(|()| refused("which is not a valid host"))?;
            base.set_port(None)
                .map_err(|()| refused("which is not a valid host"))?;
            return Ok(Self { base });
        }
        base.set_port(at.port())
            .map_err(|()| refused("which is not a valid host"))?;
        let known = same_host(&base, &self.base)
            || (is_loopback(&base) && is_loopback(&self.base))
            || allowed
                .iter()
                .filter_map(|allowed| parse_authority(allowed))
                .any(|allowed| {
                    allowed.host() == base.host()
                        && (allowed.port().is_none() || allowed.port() == base.port())
                });
        if known {
            Ok(Self { base })
        } else {
            Err(refused(
                "which is neither Wonde's nor among the allowed hosts",
            ))
        }
    }

    /// The address of a path below the base. An id that would lead to another path is rejected.
    pub(crate) fn endpoint(&self, segments: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        let mut path = url
            .path_segments_mut()
            .map_err(|()| Error::config("the base URL cannot have a path"))?;
        path.pop_if_empty();
        for segment in segments {
            if segment.is_empty() || matches!(*segment, "." | "..") {
                return Err(Error::config(
                    "an id is empty or consists of dots; pass the id as Wonde returned it",
                ));
            }
            path.push(segment);
        }
        drop(path);
        Ok(url)
    }

    /// The address of a list's next page: followed as given, but at this host only.
    pub(crate) fn next(&self, current: &Url, link: &str) -> Result<Url> {
        let mut next = current
            .join(link.trim())
            .map_err(|_| Error::foreign("the next page's address cannot be read"))?;
        next.set_fragment(None);
        // A service behind a TLS-terminating proxy may link to itself with http.
        if next.scheme() == "http" && self.base.scheme() == "https" && next.port().is_none() {
            next.set_scheme("https")
                .map_err(|()| Error::foreign("the next page's address cannot be read"))?;
        }
        if self.owns(&next) {
            Ok(next)
        } else {
            Err(Error::foreign(
                "the next page is at another host than the school's; the token is not sent there",
            ))
        }
    }

    /// Whether an address is at this host, over the same protocol, and brings no credentials of its own.
    pub(crate) fn owns(&self, url: &Url) -> bool {
        same_host(url, &self.base)
            && url.scheme() == self.base.scheme()
            && url.username().is_empty()
            && url.password().is_none()
    }

    /// Whether this host is reached without encryption.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Whether this host is on loopback.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.base)
    }
}

fn same_host(one: &Url, other: &Url) -> bool {
    one.host() == other.host() && one.port_or_known_default() == other.port_or_known_default()
}

fn is_wonde(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => {
            domain == WONDE
                || domain
                    .strip_suffix(WONDE)
                    .is_some_and(|front| front.ends_with('.'))
        }
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// Reads `host` or `host:port`, also from a whole address, without anything else around it.
pub(crate) fn parse_authority(text: &str) -> Option<Url> {
    let text = text.trim();
    let host = match text.split_once("://") {
        Some(("http" | "https", rest)) => rest.split('/').next()?,
        Some(_) => return None,
        None => text.trim_end_matches('/'),
    };
    if host.is_empty() || host.contains(['/', '\\', '?', '#', '@', ' ']) {
        return None;
    }
    let url = Url::parse(&format!("https://{host}/")).ok()?;
    url.host()?;
    Some(url)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use url::Url;

    use super::Origin;
    use crate::ErrorKind;

    fn wonde() -> Origin {
        Origin::parse("https://api.wonde.com/v1.0").unwrap()
    }

    fn local() -> Origin {
        Origin::parse("http://127.0.0.1:4711/v1.0/").unwrap()
    }

    #[rstest]
    #[case("api.wonde.com")]
    #[case("ftp://api.wonde.com/v1.0")]
    #[case("https://user@api.wonde.com/v1.0")]
    #[case("https://api.wonde.com/v1.0?a=b")]
    #[case("http://api.wonde.com/v1.0")]
    #[case("http://wonde.com/v1.0")]
    #[case("")]
    fn invalid_base_urls_are_rejected(#[case] base: &str) {
        assert_eq!(Origin::parse(base).unwrap_err().kind(), ErrorKind::Config);
    }

    #[rstest]
    #[case(
        "api-af-south-1.wonde.com",
        "https://api-af-south-1.wonde.com/v1.0/schools"
    )]
    #[case("API.Wonde.com", "https://api.wonde.com/v1.0/schools")]
    #[case(
        "https://api-ap-southeast-2.wonde.com/",
        "https://api-ap-southeast-2.wonde.com/v1.0/schools"
    )]
    #[case("127.0.0.1:4711", "http://127.0.0.1:4711/v1.0/schools")]
    #[case("127.0.0.1:4712", "http://127.0.0.1:4712/v1.0/schools")]
    #[case("localhost:4711", "http://localhost:4711/v1.0/schools")]
    #[case("mirror.example", "http://mirror.example/v1.0/schools")]
    #[case("mirror.example:99", "http://mirror.example:99/v1.0/schools")]
    #[case("other.example:81", "http://other.example:81/v1.0/schools")]
    fn trusted_regions_are_accepted(#[case] domain: &str, #[case] endpoint: &str) {
        let allowed = ["mirror.example".to_owned(), "other.example:81".to_owned()];
        let region = local().region(domain, &allowed).unwrap();
        assert_eq!(region.endpoint(&["schools"]).unwrap().as_str(), endpoint);
    }

    #[rstest]
    #[case("evil.example")]
    #[case("wonde.com.evil.example")]
    #[case("evilwonde.com")]
    #[case("api.wonde.com:8443")]
    #[case("api.wonde.com@evil.example")]
    #[case("evil.example/api.wonde.com")]
    #[case("evil.example#.wonde.com")]
    #[case("evil.example\\.wonde.com")]
    #[case("127.0.0.1:4711")]
    #[case("localhost")]
    #[case("")]
    #[case("file://api.wonde.com")]
    fn untrusted_regions_are_rejected(#[case] domain: &str) {
        assert_eq!(
            wonde().region(domain, &[]).unwrap_err().kind(),
            ErrorKind::ForeignHost
        );
    }

    #[rstest]
    #[case(
        "https://api.wonde.com/v1.0/schools/A1/students?page=3",
        "https://api.wonde.com/v1.0/schools/A1/students?page=3"
    )]
    #[case(
        "http://api.wonde.com/v1.0/x?page=3",
        "https://api.wonde.com/v1.0/x?page=3"
    )]
    #[case("https://api.wonde.com:443/x", "https://api.wonde.com/x")]
    #[case("?page=3", "https://api.wonde.com/v1.0/schools/A1/students?page=3")]
    #[case("/v1.0/x?cursor=abc%3D", "https://api.wonde.com/v1.0/x?cursor=abc%3D")]
    #[case("//api.wonde.com/x", "https://api.wonde.com/x")]
    fn next_pages_on_the_same_host_are_followed(#[case] link: &str, #[case] url: &str) {
        let current = Url::parse("https://api.wonde.com/v1.0/schools/A1/students?page=2").unwrap();
        assert_eq!(wonde().next(&current, link).unwrap().as_str(), url);
    }

    #[rstest]
    #[case("https://evil.example/x")]
    #[case("//evil.example/x")]
    #[case("https://api.wonde.com:8443/x")]
    #[case("https://api.wonde.com@evil.example/x")]
    #[case("https://user:pass@api.wonde.com/x")]
    #[case("https://api-af-south-1.wonde.com/x")]
    #[case("ftp://api.wonde.com/x")]
    #[case("https://")]
    fn a_next_page_on_another_host_is_rejected(#[case] link: &str) {
        let current = Url::parse("https://api.wonde.com/v1.0/schools/A1/students?page=2").unwrap();
        assert_eq!(
            wonde().next(&current, link).unwrap_err().kind(),
            ErrorKind::ForeignHost
        );
    }

    #[test]
    fn an_id_is_always_one_path_segment() {
        let url = local()
            .endpoint(&["schools", "A/1?x=#y", "students"])
            .unwrap();
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:4711/v1.0/schools/A%2F1%3Fx=%23y/students"
        );
        for id in ["", ".", ".."] {
            assert_eq!(
                local().endpoint(&["schools", id]).unwrap_err().kind(),
                ErrorKind::Config
            );
        }
    }

    #[test]
    fn a_base_url_needs_no_path() {
        let base = Origin::parse("http://localhost:1").unwrap();
        assert_eq!(
            base.endpoint(&["schools"]).unwrap().as_str(),
            "http://localhost:1/schools"
        );
    }
}
