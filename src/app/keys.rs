//! The store's own keys: made at the first start, readable by their owner alone.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::Ed25519KeyPair;

use super::StartError;
use crate::mint::write_private;
use crate::model::Secret;
use crate::record::Signer;

/// The key that names of credentials are sealed under.
pub(super) fn store_key(folder: &Path) -> Result<Secret, StartError> {
    kept(folder, "store.key", || {
        let mut key = vec![0; 32];
        SystemRandom::new().fill(&mut key).ok().map(|()| key)
    })
}

/// The key that signs checkpoints. The lineage's origin is named after it, so that two lineages never share a name.
pub(super) fn lineage_signer(folder: &Path) -> Result<Signer, StartError> {
    let key = kept(folder, "lineage.p8", || {
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok().map(|document| document.as_ref().to_vec())
    })?;
    let name: String = key.digest().to_string().chars().take(16).collect();
    Ok(Signer::new(&format!("countersign.invalid/{name}"), &key)?)
}

fn kept(folder: &Path, name: &str, make: impl FnOnce() -> Option<Vec<u8>>) -> Result<Secret, StartError> {
    let path = folder.join(name);
    let at = |error| StartError::File { path: path.display().to_string(), error };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
    match super::secrets::private_file(&path) {
        Ok(bytes) => Ok(Secret::new(bytes.as_slice())),
        Err(super::SecretError::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes = make().ok_or_else(|| StartError::Machine("the system gives no random bytes".to_owned()))?;
            write_private(&path, &bytes).map_err(at)?;
            Ok(Secret::new(bytes))
        }
        Err(error) => Err(error.into()),
    }
}
