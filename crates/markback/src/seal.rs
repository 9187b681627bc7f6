//! Secrets that the database keeps, sealed with a key that is not in it: schools' tokens, and endpoints' secrets.
//!
//! AES-256-GCM with a random nonce for each secret. Its owner is authenticated with it, so a sealed secret that is copied to
//! the row of another school or endpoint cannot be opened there.

use std::{fmt, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mis_core::SchoolId;
use secrecy::{
    ExposeSecret as _, SecretString,
    zeroize::{Zeroize as _, Zeroizing},
};
use sha2::{Digest as _, Sha256};

use crate::{
    settings::{SecretError, SecretSource},
    store::SealedRow,
};

/// The length of a key in bytes.
const KEY_LEN: usize = 32;

/// Whose secret it is. Authenticated with the secret.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecretOf<'a> {
    /// A school's token for Wonde.
    School(&'a SchoolId),
    /// The secret of the endpoint with this id.
    Endpoint(&'a str),
}

impl SecretOf<'_> {
    fn aad(self) -> Aad<String> {
        Aad::from(match self {
            Self::School(id) => format!("markback: a school's token for Wonde, form 1: {id}"),
            Self::Endpoint(id) => {
                format!("markback: the secret of a webhook endpoint, form 1: {id}")
            }
        })
    }
}

/// The places of the keys in the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct SealKeyPlaces {
    /// The key that seals.
    pub(crate) present: Option<SecretSource>,
    /// The key before it, which only opens.
    pub(crate) before: Option<SecretSource>,
}

impl SealKeyPlaces {
    /// Fetches the keys. Each call reads them again.
    pub(crate) fn read(&self) -> SealKeys {
        let key = |place: &Option<SecretSource>| place.as_ref().map(SealKey::at);
        let (present, before) = (key(&self.present), key(&self.before));
        let mut unread = None;
        let mut good = |key: Option<Result<SealKey, SecretError>>| match key? {
            Ok(key) => Some(key),
            Err(error) => {
                unread.get_or_insert(error.to_string());
                None
            }
        };
        let (present, before) = (good(present), good(before));
        SealKeys {
            present,
            before,
            unread,
        }
    }
}

/// The keys, as far as they can be read.
#[derive(Debug)]
pub(crate) struct SealKeys {
    present: Option<SealKey>,
    before: Option<SealKey>,
    /// Why one of them cannot be read.
    unread: Option<String>,
}

impl SealKeys {
    /// The key that seals.
    ///
    /// # Errors
    /// Returns an error if the settings name none, or it is not there.
    pub(crate) fn present(&self) -> Result<&SealKey, SecretError> {
        self.present.as_ref().ok_or_else(|| self.missing())
    }

    /// Opens a school's token with the key that it was sealed with.
    ///
    /// # Errors
    /// Returns an error if that key is not there, or the sealed token is damaged or another school's.
    pub(crate) fn open(
        &self,
        school: &SchoolId,
        row: &SealedRow,
    ) -> Result<SecretString, SecretError> {
        let key = self.key(&row.key_id)?;
        let opened = key.open(SecretOf::School(school), &row.sealed);
        opened.ok_or(SecretError::SealBroken)
    }

    /// The key with this id.
    ///
    /// # Errors
    /// Returns an error if it is not there.
    pub(crate) fn key(&self, id: &str) -> Result<&SealKey, SecretError> {
        let mut keys = self.present.iter().chain(&self.before);
        match (keys.find(|key| key.id == id), &self.present) {
            (Some(key), _) => Ok(key),
            (None, Some(present)) if self.unread.is_none() => Err(SecretError::OtherSealKey {
                sealed_with: id.to_owned(),
                present: present.id.clone(),
            }),
            _ => Err(self.missing()),
        }
    }

    fn missing(&self) -> SecretError {
        match &self.unread {
            Some(why) => SecretError::SealKey(why.clone()),
            None => SecretError::NoSealKey,
        }
    }
}

/// A key that seals secrets.
pub(crate) struct SealKey {
    /// Tells keys apart without telling anything about them: the start of a hash.
    pub(crate) id: String,
    key: RandomizedNonceKey,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SealKey {
    fn at(place: &SecretSource) -> Result<Self, SecretError> {
        let text = place.read()?;
        Self::of(&text).ok_or_else(|| SecretError::NoKey(place.to_string()))
    }

    /// The key with this text; `None` if it is not 32 bytes in Base64.
    fn of(text: &SecretString) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose_secret()).ok()?);
        if bytes.len() != KEY_LEN {
            return None;
        }
        let digest = Sha256::digest(&*bytes);
        Some(Self {
            id: digest
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            key: RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()?,
        })
    }

    /// Seals a secret: nonce and ciphertext in Base64.
    ///
    /// # Errors
    /// Returns an error if the system has no random numbers.
    pub(crate) fn seal(
        &self,
        of: SecretOf<'_>,
        secret: &SecretString,
    ) -> Result<String, SecretError> {
        let mut text = secret.expose_secret().as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(of.aad(), &mut text);
        let Ok(nonce) = sealed else {
            text.zeroize();
            return Err(SecretError::NotSealed);
        };
        let mut whole = nonce.as_ref().to_vec();
        whole.extend(text);
        Ok(STANDARD.encode(whole))
    }

    /// Opens what this key has sealed; `None` if it is damaged, or another's.
    pub(crate) fn open(&self, of: SecretOf<'_>, sealed: &str) -> Option<SecretString> {
        let whole = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = whole.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let token = self.key.open_in_place(nonce, of.aad(), &mut sealed).ok()?;
        Some(std::str::from_utf8(token).ok()?.to_owned().into())
    }
}

/// The token of a school that the database keeps, or the lack of one.
///
/// `Debug` and `Display` show neither the token nor what it is sealed as.
#[derive(Clone)]
pub struct SealedToken {
    school: SchoolId,
    row: Option<Arc<SealedRow>>,
    keys: Arc<SealKeyPlaces>,
}

impl SealedToken {
    /// No token yet.
    pub(crate) fn none(school: SchoolId, keys: Arc<SealKeyPlaces>) -> Self {
        Self {
            school,
            row: None,
            keys,
        }
    }

    /// With what the database has.
    pub(crate) fn with(self, row: Option<Arc<SealedRow>>) -> Self {
        Self { row, ..self }
    }

    /// Whether there is a token.
    pub(crate) fn is_set(&self) -> bool {
        self.row.is_some()
    }

    /// The generation in which it was set; `None` if there is none.
    pub(crate) fn generation(&self) -> Option<i64> {
        self.row.as_ref().map(|row| row.generation)
    }

    /// Opens it with keys that are read now.
    ///
    /// # Errors
    /// Returns an error if there is no token, or it cannot be opened.
    pub(crate) fn read(&self) -> Result<SecretString, SecretError> {
        self.read_with(&self.keys.read())
    }

    /// Opens it with these keys.
    ///
    /// # Errors
    /// Returns an error if there is no token, or it cannot be opened.
    pub(crate) fn read_with(&self, keys: &SealKeys) -> Result<SecretString, SecretError> {
        let row = self.row.as_deref().ok_or(SecretError::NoToken)?;
        keys.open(&self.school, row)
    }
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.row {
            Some(_) => "a sealed token",
            None => "no token",
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn key(byte: u8) -> SecretString {
        STANDARD.encode([byte; KEY_LEN]).into()
    }

    fn keys(present: Option<u8>, before: Option<u8>) -> SealKeys {
        let given = |byte: Option<u8>| byte.map(|byte| SecretSource::Given(key(byte)));
        SealKeyPlaces {
            present: given(present),
            before: given(before),
        }
        .read()
    }

    fn row(keys: &SealKeys, school: &str, token: &str) -> SealedRow {
        let key = keys.present().unwrap();
        SealedRow {
            key_id: key.id.clone(),
            sealed: key
                .seal(SecretOf::School(&school.into()), &token.to_owned().into())
                .unwrap(),
            generation: 1,
        }
    }

    #[test]
    fn a_token_is_opened_by_its_key_for_its_school_alone() {
        let own = keys(Some(1), None);
        let hill = row(&own, "hill", "hush");
        let open = |keys: &SealKeys, school: &str, row: &SealedRow| {
            keys.open(&school.into(), row)
                .map(|token| token.expose_secret().to_owned())
                .map_err(|error| error.to_string())
        };
        assert_eq!(open(&own, "hill", &hill).unwrap(), "hush");
        assert!(open(&own, "dale", &hill).unwrap_err().contains("damaged"));
        let of_endpoint = SecretOf::Endpoint("hill");
        assert!(
            own.present()
                .unwrap()
                .open(of_endpoint, &hill.sealed)
                .is_none()
        );
        // After a rotation the earlier key still opens.
        assert_eq!(
            open(&keys(Some(2), Some(1)), "hill", &hill).unwrap(),
            "hush"
        );
        let other = open(&keys(Some(2), None), "hill", &hill).unwrap_err();
        assert!(
            other.contains(&hill.key_id)
                && other.contains(&keys(Some(2), None).present().unwrap().id),
            "{other}"
        );
        assert!(
            open(&keys(None, None), "hill", &hill)
                .unwrap_err()
                .contains("seal_key_env")
        );
    }

    #[test]
    fn any_change_of_what_is_sealed_is_noticed() {
        let own = keys(Some(1), None);
        let good = row(&own, "hill", "hush");
        let bytes = STANDARD.decode(&good.sealed).unwrap();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            let other = SealedRow {
                sealed: STANDARD.encode(other),
                ..good.clone()
            };
            assert!(own.open(&"hill".into(), &other).is_err(), "{at}");
        }
        for sealed in ["", "AAAA", "no base64"] {
            let other = SealedRow {
                sealed: sealed.to_owned(),
                ..good.clone()
            };
            assert!(own.open(&"hill".into(), &other).is_err(), "{sealed}");
        }
    }

    #[test]
    fn the_same_token_is_sealed_differently_each_time() {
        let own = keys(Some(1), None);
        assert_ne!(
            row(&own, "hill", "hush").sealed,
            row(&own, "hill", "hush").sealed
        );
    }

    #[rstest]
    #[case::short(&[1; 16])]
    #[case::long(&[1; 33])]
    #[case::empty(&[])]
    fn a_key_has_32_bytes(#[case] bytes: &[u8]) {
        assert!(SealKey::of(&STANDARD.encode(bytes).into()).is_none());
        assert!(SealKey::of(&"not in Base64".to_owned().into()).is_none());
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_taken_for_another_key() {
        let own = keys(Some(1), None);
        let hill = row(&own, "hill", "hush");
        let mistyped = SealKeyPlaces {
            present: Some(SecretSource::Given("mistyped".to_owned().into())),
            before: None,
        };
        let told = mistyped.read().open(&"hill".into(), &hill).unwrap_err();
        assert!(matches!(told, SecretError::SealKey(_)), "{told}");
        assert!(!told.to_string().contains("mistyped"));
    }

    #[test]
    fn what_is_shown_is_no_secret() {
        let own = keys(Some(1), None);
        let hill = row(&own, "hill", "hush");
        let token =
            SealedToken::none("hill".into(), Arc::default()).with(Some(Arc::new(hill.clone())));
        let shown = format!("{own:?} {hill:?} {token:?}");
        for secret in ["hush", key(1).expose_secret(), hill.sealed.as_str()] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
