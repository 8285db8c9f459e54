//! What holds after every test, whatever happened in it (INV1–INV7 as far as the slice goes).

use countersign::record::{Filter, Reader, Story, verify};

use super::sidecar::Sidecar;

/// Every call there is.
pub fn stories(reader: &Reader) -> Vec<Story> {
    reader.calls(&Filter { limit: 100_000, ..Filter::default() }).unwrap()
}

/// Stops the sidecar and looks at everything it left behind.
pub async fn hold(sidecar: &mut Sidecar) {
    sidecar.stop().await;
    let reader = sidecar.reader();
    let stories = stories(&reader);
    let mut permitted = 0;
    for story in &stories {
        let count = |kind: &str| story.records.iter().filter(|record| record.kind() == kind).count();
        if count("repeated") == 1 {
            // A count of refusals beyond those that are written one by one.
            continue;
        }
        // Every call has one verdict; a permitted one has one ending.
        assert_eq!(count("permitted") + count("refused"), 1, "{story:?}");
        assert_eq!(count("permitted"), count("ended"), "{story:?}");
        permitted += count("permitted");
    }
    // Nothing reaches the tool that was not permitted, and what reaches it carries a credential minted for it.
    let seen = sidecar.tool.seen();
    assert!(seen.len() <= permitted, "{} requests, {permitted} permitted", seen.len());
    // No credential outlives its call.
    assert_eq!(sidecar.vault.live(), 0, "leases still live");
    // The lineage is whole, and holds no secret.
    let report = verify(&reader, None, None);
    assert!(report.is_intact(), "{report:?}");
    let file = std::fs::read(sidecar.lineage()).unwrap();
    for secret in [&b"CANARY"[..], b"lease-1", super::sidecar::FRAMEWORK.as_bytes()] {
        assert!(!file.windows(secret.len()).any(|window| window == secret), "a secret lies in the lineage");
    }
}
