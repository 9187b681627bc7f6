//! Fetches iCalendars from their addresses.

use std::time::Duration;

use reqwest::{
    Client, Response, StatusCode,
    header::{ETAG, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION},
};
use url::Url;

use super::{Ical, IcalError, IcalReading, IcalUrl, ical::SIZE_MAX};
use crate::{
    settings::TargetSettings,
    targets::{TargetError, Targets},
};

/// How long a whole answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
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

/// Fetches iCalendars, only from addresses that the settings let be called. Redirects are followed on the same host.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    targets: Targets,
}

impl Fetcher {
    /// # Errors
    /// Returns an error if the client cannot be set up.
    pub(crate) fn new(settings: &TargetSettings) -> reqwest::Result<Self> {
        let targets = Targets::new(settings);
        Ok(Self {
            client: targets.client(ANSWER_WITHIN)?,
            targets,
        })
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
        let answer = self.answer(url.as_url().clone(), known).await;
        let answer = answer.map_err(|why| unreached(ical, why))?;
        match answer.status() {
            StatusCode::NOT_MODIFIED if *known != Validators::default() => Ok(Fetched::Unchanged),
            status if status.is_success() => read(ical, answer).await,
            status => {
                let why = format!("the server answered {}", status.as_u16());
                Err(unreached(ical, why))
            }
        }
    }

    /// The answer of the last address that redirects lead to, or the reason why there is none.
    async fn answer(&self, mut url: Url, known: &Validators) -> Result<Response, String> {
        for _ in 0..=REDIRECTS_MAX {
            self.targets
                .check(&url)
                .map_err(|error| error.to_string())?;
            let mut request = self.client.get(url.clone());
            for (name, value) in [
                (IF_NONE_MATCH, &known.etag),
                (IF_MODIFIED_SINCE, &known.modified),
            ] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let answer = request.send().await.map_err(|error| reason(&error))?;
            let Some(next) = redirect(&url, &answer) else {
                return Ok(answer);
            };
            if !same_host(&url, &next) {
                return Err("it redirects to another host".to_owned());
            }
            url = next;
        }
        Err("it redirects too often".to_owned())
    }
}

/// Where an answer leads instead.
fn redirect(url: &Url, answer: &Response) -> Option<Url> {
    let redirects = [301, 302, 303, 307, 308];
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    let leads = redirects.contains(&answer.status().as_u16());
    leads.then(|| url.join(location).ok()).flatten()
}

async fn read(ical: &Ical, mut answer: Response) -> Result<Fetched, IcalError> {
    let header = |name| answer.headers().get(name).and_then(short);
    let validators = Validators {
        etag: header(ETAG),
        modified: header(LAST_MODIFIED),
    };
    let mut bytes = Vec::new();
    while let Some(part) = answer
        .chunk()
        .await
        .map_err(|error| unreached(ical, reason(&error)))?
    {
        bytes.extend_from_slice(&part);
        if bytes.len() as u64 > SIZE_MAX {
            return Err(IcalError::TooLarge { path: ical.shown() });
        }
    }
    Ok(Fetched::Read(ical.parse(bytes)?, validators))
}

fn unreached(ical: &Ical, why: String) -> IcalError {
    IcalError::Unreached {
        place: ical.shown(),
        why,
    }
}

fn short(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    (text.len() <= VALIDATOR_MAX).then(|| text.to_owned())
}

/// Why a request failed, without its address, of which a part may be secret.
fn reason(error: &reqwest::Error) -> String {
    if let Some(refused) = TargetError::within(error) {
        refused.to_string()
    } else if error.is_timeout() {
        "the server did not answer in time".to_owned()
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
