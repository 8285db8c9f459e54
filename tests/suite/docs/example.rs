//! The hour of a security team: every command of its page, in the order of the page, and the script that runs them all.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::console::{Session, steps};
use super::{has, page};
use crate::suite::common::checkout::checkout;

const EXAMPLE: &str = "examples/security-team";

/// Every file of these folders, as the session calls things.
fn lay_out(session: &Session) {
    use std::os::unix::fs::PermissionsExt as _;
    for folder in ["policies", EXAMPLE] {
        for entry in fs::read_dir(checkout(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
            session.lay_out(&name, &fs::read_to_string(&path).unwrap());
            if path.extension().is_some_and(|extension| extension == "sh") {
                fs::set_permissions(session.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

#[test]
fn an_hour_of_a_security_team_goes_as_its_page_says() {
    if !has("curl") || !has("python3") {
        println!("left out: the example's commands want `curl` and `python3`");
        return;
    }
    let mut session = Session::within(EXAMPLE);
    lay_out(&session);
    let steps = steps(&page(&format!("{EXAMPLE}/README.md")));
    assert!(steps.len() > 15, "the page shows commands");
    for step in &steps {
        if let Err(why) = session.run(step) {
            let _ = Command::new("./stop.sh").current_dir(session.path().join(EXAMPLE)).status();
            panic!("{EXAMPLE}/README.md: {why}");
        }
    }
    the_script_does_the_same(session.path());
}

fn the_script_does_the_same(folder: &Path) {
    let clean = folder.join(EXAMPLE);
    for left in ["policies", "draft", "keys"] {
        fs::remove_dir_all(clean.join(left)).unwrap();
    }
    for file in fs::read_dir(&clean).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap().to_string_lossy().starts_with("lineage.db") {
            fs::remove_file(file).unwrap();
        }
    }
    let config = fs::read_to_string(clean.join("countersign.toml")).unwrap();
    fs::write(clean.join("countersign.toml"), config.replace("\"enforce\"", "\"observe\"")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("./run.sh").current_dir(&clean).env("PATH", path).env("COUNTERSIGN_LOG", "off").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    // The last refusal may not be written down yet: nobody waits for one.
    let told = " calls judged again by what judged them then: 0 came out otherwise\n";
    assert!(output.status.success() && printed.contains(told), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}
