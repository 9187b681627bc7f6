//! Hashing passwords, which takes time and memory by design: never on the threads of asynchronous work, and for a few at
//! once.

use std::sync::{Arc, LazyLock};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::UserError;

/// Passwords hashed at once. Each takes 19 MiB and a core.
const AT_ONCE: usize = 2;
/// Passwords that may wait for it. Further ones are turned away, so a flood takes neither memory nor time.
const WAITING: usize = 32;

static HASHING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE)));
static ADMITTED: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(AT_ONCE + WAITING)));

/// The hash of a random password, which is checked for unknown names, so that those take as long.
static DUMMY: OnceCell<String> = OnceCell::const_new();

/// A place among those that are hashed. It is given back when the work ends, also if nobody waits for its result.
async fn place() -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), UserError> {
    let admitted = ADMITTED.clone().try_acquire_owned();
    let admitted = admitted.map_err(|_| UserError::Busy)?;
    let hashing = HASHING.clone().acquire_owned().await;
    Ok((admitted, hashing.map_err(|_| UserError::Busy)?))
}

async fn work<T: Send + 'static>(
    work: impl FnOnce() -> Option<T> + Send + 'static,
) -> Result<T, UserError> {
    let place = place().await?;
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(place);
        done
    });
    let done = done.await.ok().flatten();
    done.ok_or_else(|| outbox::Error::invalid("the password could not be hashed").into())
}

/// Hashes a password with a random salt.
pub(super) async fn hash(password: SecretString) -> Result<String, UserError> {
    work(move || {
        let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
        hash.ok().map(|hash: PasswordHash| hash.to_string())
    })
    .await
}

/// Whether a password has this hash; without a hash it is wrong, after the same time.
pub(super) async fn is_right(
    hash: Option<&str>,
    password: SecretString,
) -> Result<bool, UserError> {
    let dummy = DUMMY.get_or_try_init(|| {
        let random = rand::random::<u128>().to_string();
        self::hash(random.into())
    });
    // Also if it is not needed, so that the first unknown name does not take longer.
    let dummy = dummy.await?;
    let known = hash.is_some();
    let hash = hash.unwrap_or(dummy).to_owned();
    work(move || {
        let hash = PasswordHash::new(&hash).ok()?;
        let password = password.expose_secret().as_bytes();
        let right = Argon2::default().verify_password(password, &hash).is_ok();
        Some(right && known)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_recognised_by_its_hash_only() {
        let password = SecretString::from("correct horse battery");
        let (one, two) = (
            hash(password.clone()).await.unwrap(),
            hash(password.clone()).await.unwrap(),
        );
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two);
        assert!(is_right(Some(&one), password.clone()).await.unwrap());
        assert!(is_right(Some(&two), password.clone()).await.unwrap());
        let other = SecretString::from("correct horse batterz");
        assert!(!is_right(Some(&one), other).await.unwrap());
        assert!(!is_right(None, password.clone()).await.unwrap());
        assert!(is_right(Some("no hash"), password).await.is_err());
    }
}
