//! The pages in a real browser (`tests/browser/look.mjs`): what it does with a link, a form, another site, and what an agent
//! wrote; that open pages follow what happens; and that everybody can read them (axe), in both schemes.

use std::process::Command;

use super::super::baselines::office::SAM;
use super::super::common::checkout::checkout;
use super::*;

/// Where `playwright-core` and `axe-core` are installed, and which browser is driven; `tests/all` says.
const MODULES: &str = "COUNTERSIGN_BROWSER_MODULES";
const BROWSER: &str = "COUNTERSIGN_BROWSER";

#[tokio::test]
async fn the_pages_do_in_a_browser_what_they_are_for_and_nothing_else() {
    if std::env::var_os(MODULES).is_none() || std::env::var_os(BROWSER).is_none() {
        println!("left out: no browser is named by `{BROWSER}` and `{MODULES}`; tests/all installs one");
        return;
    }
    let sidecar = sidecar().await;
    let pictures = tempfile::tempdir().unwrap();
    let kept = std::env::var("COUNTERSIGN_PICTURES").ok();
    let office = habits::at_work().await;
    let task =
        sidecar.open_task("{\"goal\":\"answer issue 7\",\"on_behalf_of\":\"bo@example.com\",\"actions\":[]}").await;
    let told = serde_json::json!({
        "link": sidecar.login(Some("ana")), "used": sidecar.login(None), "admin": format!("http://{}", sidecar.admin),
        "agent": format!("http://{}", sidecar.door), "task": task["token"], "token": ANA,
        "office": { "admin": format!("http://{}", office.sidecar.admin), "token": SAM },
        "pictures": kept.as_deref().map_or(pictures.path().to_str().unwrap(), |folder| folder),
    });
    let run = tokio::task::spawn_blocking(move || {
        Command::new("node").arg(checkout("tests/browser/look.mjs")).env("COUNTERSIGN_PAGES", told.to_string()).output()
    });
    let output = run.await.unwrap().expect("node");
    let (out, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.ends_with("all of it\n"), "{out}{wrong}");
    assert_eq!(sidecar.records("resolved").len(), 2, "one yes and one no: {out}");
    assert_eq!(office.sidecar.records("ratified").len(), 3, "a draft, and back again: {out}");
    assert_eq!(office.sidecar.records("reset").len(), 1, "{out}");
    let stopped = sidecar.records("quarantined");
    assert_eq!(stopped.len(), 1, "what another site sent did nothing: {out}");
    assert_eq!(stopped[0].entry["by"], "ana");
}
