//! The address of the database. SQLite files are relative to the folder of the settings, as all files named there.

use std::path::{Path, PathBuf};

use url::Url;

const SQLITE: &str = "sqlite:";

/// The parts of an SQLite address: the path as written, and what follows it. `None` for other databases and those in
/// memory.
fn parts(address: &str) -> Option<(&str, &str)> {
    let rest = address.strip_prefix(SQLITE)?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let end = rest.find('?').unwrap_or(rest.len());
    let (path, options) = rest.split_at(end);
    let in_memory = path == ":memory:" || options.contains("mode=memory");
    (!in_memory).then_some((path, options))
}

/// Whether it is an SQLite address without a file.
pub(super) fn names_no_file(address: &str) -> bool {
    parts(address).is_some_and(|(path, _)| path.is_empty())
}

/// The file of an SQLite database.
pub(super) fn file(address: &str, folder: &Path) -> Option<PathBuf> {
    let (path, _) = parts(address)?;
    let path = folder.join(decoded(path));
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// The address with the absolute path of its file.
pub(super) fn absolute(address: &str, folder: &Path) -> String {
    match (parts(address), file(address, folder)) {
        (Some((_, options)), Some(path)) => {
            let path = path.display().to_string();
            format!("{SQLITE}{}{options}", encoded(&path))
        }
        _ => address.to_owned(),
    }
}

/// The address without a password and without its parameters, which may hold one.
pub(super) fn told(address: &str, folder: &Path) -> String {
    if let Some(path) = file(address, folder) {
        return format!("{SQLITE}{}", path.display());
    }
    match Url::parse(address) {
        Ok(mut url) if url.has_host() => {
            url.set_query(None);
            // Fails only for addresses without a host, and so without a password.
            let _ = url.set_password(None);
            url.to_string()
        }
        _ => address.split('?').next().unwrap_or_default().to_owned(),
    }
}

/// The driver decodes percent signs in a path and ends it at a question mark.
fn encoded(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F")
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("sqlite:a.db", "sqlite:/etc/markback/a.db")]
    #[case("sqlite://a.db?mode=rw", "sqlite:/etc/markback/a.db?mode=rw")]
    #[case("sqlite:///var/lib/a.db", "sqlite:/var/lib/a.db")]
    #[case("sqlite:50%25.db", "sqlite:/etc/markback/50%25.db")]
    #[case("sqlite::memory:", "sqlite::memory:")]
    #[case("postgres://u@host/name", "postgres://u@host/name")]
    fn a_file_is_found_from_the_folder_of_the_settings(#[case] given: &str, #[case] whole: &str) {
        assert_eq!(absolute(given, Path::new("/etc/markback")), whole);
    }

    #[rstest]
    #[case("sqlite:a.db?mode=rw", "sqlite:/etc/markback/a.db")]
    #[case(
        "postgres://u:hush@host:5433/name?password=hush",
        "postgres://u@host:5433/name"
    )]
    #[case("nonsense?password=hush", "nonsense")]
    fn what_people_see_holds_no_password(#[case] given: &str, #[case] shown: &str) {
        assert_eq!(told(given, Path::new("/etc/markback")), shown);
    }

    #[rstest]
    #[case("sqlite:", true)]
    #[case("sqlite://", true)]
    #[case("sqlite:?mode=rw", true)]
    #[case("sqlite::memory:", false)]
    #[case("sqlite:a.db", false)]
    #[case("postgres://host", false)]
    fn an_address_without_a_file_is_known(#[case] given: &str, #[case] none: bool) {
        assert_eq!(names_no_file(given), none);
    }
}
