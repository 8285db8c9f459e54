//! What other processes see of it: its secrets, its memory, its files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{on_sockets, request, with};
use crate::attacks::nobody::{Folder, Program, as_its_user, config, is_root, its_uid};
use crate::suite::common::sidecar::{FRAMEWORK, READ};
use crate::suite::common::tool::Tool;

const CANARY: &str = "CANARY-5d41402abc4b2a76b9719d911017c592";

/// Secrets in the environment for each use there is.
const SECRETS: &str = "[reviewers.ana]\ntoken = { env = \"ANA_TOKEN\" }\nmay = [\"read\"]\n\
    [issuers.standing]\nkind = \"static\"\nsecret = { env = \"STANDING\" }\n";

fn secretive(tool: &str) -> (Folder, [(&'static str, String); 4]) {
    let text = config(tool, SECRETS)
        .replace("issuer = \"calls\"", "issuer = \"standing\"")
        .replace("{ file = \"framework.token\" }", "{ env = \"FRAMEWORK_TOKEN\" }");
    let environment = [
        ("ANA_TOKEN", format!("{CANARY}-ana")),
        // Neither an equals sign nor a line end is the end of a secret.
        ("STANDING", format!("{CANARY}=standing\n")),
        ("FRAMEWORK_TOKEN", format!("{CANARY}-framework")),
        ("INNOCENT", "kept".to_owned()),
    ];
    (Folder::new(&text), environment)
}

fn borrowed<'a>(environment: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[tokio::test]
async fn secrets_of_the_environment_are_used_and_then_nowhere_to_be_seen() {
    let tool = Tool::start().await;
    let (folder, environment) = secretive(&tool.origin);
    let program = Program::start(folder, &borrowed(&environment)).await;
    assert_eq!(program.send(READ).await.status, 200);
    assert_eq!(tool.seen()[0].headers()["authorization"], format!("Bearer {CANARY}=standing"));
    let read = with(&request("GET", "/v1/calls"), &format!("authorization: Bearer {CANARY}-ana"));
    assert_eq!(program.ask(&read).await.status, 200);
    let opening = with(&request("POST", "/-/tasks"), &format!("authorization: Bearer {CANARY}-framework"));
    let opening = opening.replace("content-length: 0\r\n\r\n", "content-length: 2\r\n\r\n{}");
    assert_eq!(program.send(&opening).await.status, 201);
    let command_line = fs::read_to_string(program.proc("cmdline")).unwrap();
    assert!(command_line.contains("countersign.toml") && !command_line.contains("CANARY"), "{command_line}");
    assert_eq!(fs::read_to_string(program.proc("comm")).unwrap(), "countersign\n", "`ps` shows its own name");
    if is_root() {
        let kept = String::from_utf8(fs::read(program.proc("environ")).unwrap()).unwrap();
        assert!(kept.contains("INNOCENT=kept"), "{kept}");
        for gone in ["CANARY", "ANA_TOKEN", "STANDING", "FRAMEWORK_TOKEN"] {
            assert!(!kept.contains(gone), "{gone} is left: {kept}");
        }
        for entry in fs::read_dir(program.proc("fd")).unwrap() {
            let leads = fs::read_link(entry.unwrap().path()).unwrap();
            assert!(!leads.to_string_lossy().contains("memfd"), "{}", leads.display());
        }
    } else {
        eprintln!("left out: it takes root to look into the environment of a process that hides it");
    }
    assert!(!program.log().contains("CANARY"), "{}", program.log());
    let (folder, log) = program.stop();
    assert!(log.contains("stopping"), "it is the process that was started: {log}");
    assert!(folder.path("lineage.db").exists());
}

#[tokio::test]
async fn other_processes_of_its_user_cannot_look_into_it() {
    let tool = Tool::start().await;
    let (folder, environment) = secretive(&tool.origin);
    let program = Program::start(folder, &borrowed(&environment)).await;
    for name in ["environ", "mem", "maps", "fd/0", "exe", "auxv"] {
        let mut look = as_its_user("head");
        let looked = look.arg("-c1").arg(program.proc(name)).env("LC_ALL", "C").output().unwrap();
        let told = String::from_utf8_lossy(&looked.stderr).into_owned();
        assert!(!looked.status.success() && told.contains("Permission denied"), "{name}: {told}");
    }
    let shown = fs::read_to_string(program.proc("status")).unwrap();
    assert!(shown.contains(&format!("Uid:\t{}\t", its_uid())), "it runs as the user that looked:\n{shown}");
    let limits = fs::read_to_string(program.proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
}

#[test]
fn a_start_that_was_handed_no_secrets_says_so() {
    let (folder, environment) = secretive("http://127.0.0.1:1");
    let mut given = borrowed(&environment);
    given.push(("COUNTERSIGN_SECRETS", "stdin"));
    let (code, told) = folder.refused(&given);
    assert!(code == Some(2) && told.contains("`COUNTERSIGN_SECRETS` is set"), "{told}");
    let (code, told) = folder.refused(&given[..1]);
    assert!(code == Some(2) && told.contains("`STANDING` is not set"), "{told}");
    assert!(!told.contains("CANARY"), "{told}");
}

#[tokio::test]
async fn a_child_process_would_inherit_no_open_file() {
    if !is_root() {
        return eprintln!("left out: it takes root to look at the files of a process that hides them");
    }
    let tool = Tool::start().await;
    for text in [config(&tool.origin, ""), on_sockets(&config(&tool.origin, ""))] {
        let (program, held) = (Program::start(Folder::new(&text), &[]).await, tool.before_head.clone());
        held.close();
        let (seen, waiting) = (tool.seen().len(), program.send(READ));
        let watched = async {
            held.reached(seen + 1).await;
            let files = open_files(&program.proc(""));
            held.release();
            files
        };
        // In the middle of a call: both its connections are open.
        let (answer, files) = tokio::join!(waiting, watched);
        assert_eq!(answer.status, 200);
        assert!(files.len() > 10, "{files:?}");
        // What whoever runs the tests has left open for all that come after is not the program's.
        let given = open_files("/proc/self".as_ref());
        let inherited: Vec<_> = files
            .iter()
            .filter(|(number, leads, inherited)| {
                *number > 2 && *inherited && !given.contains(&(*number, leads.clone(), true))
            })
            .collect();
        assert!(inherited.is_empty(), "{inherited:?}");
    }
}

/// What a process has open: its number, where it leads, and whether a child would have it (open(2), `O_CLOEXEC`).
fn open_files(process: &Path) -> Vec<(u32, String, bool)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(process.join("fd")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The one that the folder is read through is closed by now, if the process is this one.
        let Ok(leads) = fs::read_link(process.join("fd").join(&name)) else { continue };
        let info = fs::read_to_string(process.join("fdinfo").join(&name)).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = u32::from_str_radix(flags, 8).unwrap();
        files.push((name.parse().unwrap(), leads.display().to_string(), flags & 0o2_000_000 == 0));
    }
    files
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_no_start() {
    let tool = Tool::start().await;
    let more = "[reviewers.ana]\ntoken = { file = \"ana.token\" }\nmay = [\"read\"]\n\
                [issuers.standing]\nkind = \"static\"\nsecret = { file = \"standing\" }\n";
    let folder = Folder::new(&config(&tool.origin, more));
    folder.write("ana.token", "a-reviewers-token-for-tests", 0o600);
    folder.write("standing", CANARY, 0o600);
    let program = Program::start(folder, &[]).await;
    let (folder, _) = program.stop();
    for name in ["framework.token", "ana.token", "standing", "keys/lineage.p8", "keys/store.key"] {
        for mode in [0o644, 0o640, 0o660, 0o604] {
            folder.mode(name, mode);
            let (code, told) = folder.refused(&[]);
            assert!(code == Some(2) && told.contains(name) && told.contains("chmod 600"), "{name} {mode:o}: {told}");
            assert!(!told.contains("CANARY") && !told.contains(FRAMEWORK), "{told}");
        }
        folder.mode(name, 0o600);
    }
    // The mode is that of what is read, not of a link to it.
    folder.write("elsewhere", FRAMEWORK, 0o644);
    fs::remove_file(folder.path("framework.token")).unwrap();
    symlink(folder.path("elsewhere"), folder.path("framework.token")).unwrap();
    assert_eq!(folder.refused(&[]).0, Some(2));
    folder.mode("elsewhere", 0o400);
    Program::start(folder, &[]).await;
}

#[tokio::test]
async fn what_systemd_hands_over_is_read_with_the_mode_it_has() {
    let tool = Tool::start().await;
    let text = config(&tool.origin, "").replace("{ file = \"framework.token\" }", "{ systemd = \"framework\" }");
    let folder = Folder::new(&text);
    folder.write("framework", &format!("{FRAMEWORK}\n"), 0o440);
    let handed = folder.path("").display().to_string();
    let program = Program::start(folder, &[("CREDENTIALS_DIRECTORY", &handed)]).await;
    assert!(program.open_task().await.starts_with("cst_"));
}
