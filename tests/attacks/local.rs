//! Group H: what is near the sidecar on the same machine. Browsers, other users, other processes of its user.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use super::unprivileged::{Folder, NOBODY, Program, as_its_user, as_user, config, is_root, its_uid};
use crate::suite::common::sidecar::{Answer, FRAMEWORK, READ};
use crate::suite::common::tool::Tool;

const CANARY: &str = "CANARY-5d41402abc4b2a76b9719d911017c592";

/// Doors on sockets in the folder.
fn on_sockets(config: &str) -> String {
    config
        .replace("agent = \"127.0.0.1:0\"", "agent = \"unix:agent.sock\"")
        .replace("admin = \"127.0.0.1:0\"", "admin = \"unix:admin.sock\"")
}

fn with(request: &str, headers: &str) -> String {
    request.replace("host: HOST", &format!("host: HOST\r\n{headers}"))
}

fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

fn assert_forbidden(answer: &Answer, request: &str) {
    assert_eq!(answer.status, 403, "{request}\n{answer:?}");
    assert!(!answer.head.to_ascii_lowercase().contains("access-control-"), "{request}\n{answer:?}");
}

#[tokio::test]
async fn no_page_in_a_browser_gets_through_to_a_tool() {
    let tool = Tool::start().await;
    for text in [config(&tool.origin, ""), on_sockets(&config(&tool.origin, ""))] {
        let program = Program::start(Folder::new(&text), &[]).await;
        let simple = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\
                      content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}";
        for request in [READ, simple, &request("POST", "/-/tasks"), &request("DELETE", "/-/tasks/x")] {
            for headers in [
                "origin: https://evil.test",
                "origin: null",
                "origin: http://HOST",
                "sec-fetch-site: cross-site",
                "sec-fetch-site: same-site",
                "sec-fetch-site: none\r\nsec-fetch-mode: navigate",
            ] {
                let request = with(request, headers);
                assert_forbidden(&program.send(&request).await, &request);
            }
        }
        let preflight = with(
            &request("OPTIONS", "/tracker/repos/octo/hello/issues/7"),
            "origin: https://evil.test\r\naccess-control-request-method: POST\r\naccess-control-request-headers: agent-task",
        );
        assert_forbidden(&program.send(&preflight).await, &preflight);
        assert_eq!(tool.seen().len(), 0);
        assert_eq!(program.send(READ).await.status, 200, "who is no browser is let in");
        tool.forget();
    }
}

#[tokio::test]
async fn a_name_that_leads_here_is_not_enough() {
    let tool = Tool::start().await;
    let program = Program::start(Folder::new(&config(&tool.origin, "")), &[]).await;
    let port = program.agent.rsplit(':').next().unwrap();
    for host in ["evil.test", &format!("evil.test:{port}"), "127.0.0.1", "127.0.0.1:1", "", "127.0.0.1.evil.test"] {
        let answer = program.send(&READ.replace("HOST", host)).await;
        assert!([400, 421].contains(&answer.status), "{host}: {answer:?}");
    }
    for path in ["/healthz", "/metrics", "/checkpoint", "/v1/calls"] {
        for headers in [
            "host: evil.test",
            "host: HOST\r\nhost: HOST",
            "host: HOST\r\norigin: https://evil.test",
            "host: HOST\r\norigin: null",
            "host: HOST\r\nsec-fetch-site: cross-site",
            "host: HOST\r\nsec-fetch-site: same-site",
        ] {
            let request = request("GET", path).replace("host: HOST", headers);
            assert_forbidden(&program.ask(&request).await, &request);
        }
    }
    let own = "origin: http://HOST\r\nsec-fetch-site: same-origin";
    assert_eq!(program.ask(&with(&request("GET", "/healthz"), own)).await.status, 200, "a page of the door's own");
    assert_eq!(tool.seen().len(), 0);
}

/// What Python says of connecting to a socket.
const CONNECT: &str = "import socket, sys\ntry:\n    socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('in')\nexcept OSError as error:\n    print(type(error).__name__)";

fn connects(mut user: Command, socket: &Path) -> String {
    let output = user.args(["-c", CONNECT]).arg(socket).current_dir("/").output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_socket_is_its_users_alone_whatever_the_mask() {
    let tool = Tool::start().await;
    let folder = Folder::new(&on_sockets(&config(&tool.origin, "")));
    let mut command = as_its_user("sh");
    command.args(["-c", "umask 0; exec \"$0\" --config \"$1\" serve"]);
    command.arg(folder.path("countersign")).arg(folder.path("countersign.toml")).stdin(Stdio::null());
    let program = Program::run(folder, command).await;
    for name in ["agent.sock", "admin.sock"] {
        let path = program.folder.path(name);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{name}");
        if !is_root() {
            eprintln!("left out: it takes root to connect as another user");
            continue;
        }
        program.folder.mode("", 0o700);
        assert_eq!(connects(as_user(4242, "/usr/bin/python3"), &path), "PermissionError", "through the folder");
        program.folder.mode("", 0o755);
        assert_eq!(connects(as_user(4242, "/usr/bin/python3"), &path), "PermissionError", "by its own mode");
        assert_eq!(connects(as_its_user("/usr/bin/python3"), &path), "in");
    }
}

#[tokio::test]
async fn who_may_connect_is_not_yet_believed() {
    if !is_root() {
        return eprintln!("left out: it takes root to call as another user");
    }
    let tool = Tool::start().await;
    let text = on_sockets(&config(&tool.origin, "")).replace("[listen]", "[listen]\nsocket_mode = \"0666\"");
    let program = Program::start(Folder::new(&text), &[]).await;
    program.folder.mode("", 0o755);
    let script = format!(
        "import socket, sys\ns = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall({:?}.encode()); print(s.recv(12).decode())",
        READ.replace("HOST", "localhost")
    );
    let as_uid = |uid| {
        let mut command = as_user(uid, "/usr/bin/python3");
        command.args(["-c", &script]).arg(program.folder.path("agent.sock")).current_dir("/");
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap().trim().to_owned()
    };
    assert_eq!(as_uid(4242), "HTTP/1.1 401");
    assert_eq!(as_uid(NOBODY), "HTTP/1.1 401", "the sidecar's own user is no agent");
    assert_eq!(as_uid(0), "HTTP/1.1 200", "the user that the agent's `identify` names");
}

#[tokio::test]
async fn a_connection_that_outlives_its_process_is_nobodys() {
    let tool = Tool::start().await;
    let program = Program::start(Folder::new(&on_sockets(&config(&tool.origin, ""))), &[]).await;
    // The process that connected ends; a child of it, of the same user, goes on with the connection. Whoever were given
    // the pid by now would be in its place.
    let script = format!(
        "import os, socket, sys, time\ns = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); parent = os.getpid()\n\
         if sys.argv[2] == 'dies' and os.fork(): time.sleep(0.3); os._exit(0)\n\
         while sys.argv[2] == 'dies' and os.getppid() == parent: time.sleep(0.01)\n\
         s.sendall({:?}.encode()); print(s.recv(12).decode(), flush=True)",
        READ.replace("HOST", "localhost")
    );
    let told = |what: &'static str| {
        let mut command = Command::new("python3");
        command.args(["-c", &script]).arg(program.folder.path("agent.sock")).arg(what);
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap().trim().to_owned()
    };
    assert_eq!(told("lives"), "HTTP/1.1 200");
    assert_eq!(told("dies"), "HTTP/1.1 401");
    assert_eq!(tool.seen().len(), 1);
}

#[tokio::test]
async fn what_lies_at_a_sockets_path_is_left_alone_unless_it_is_a_dead_socket() {
    let tool = Tool::start().await;
    let folder = Folder::new(&on_sockets(&config(&tool.origin, "")));
    let path = folder.path("agent.sock");
    folder.write("precious", "text", 0o600);
    let dead = std::os::unix::net::UnixListener::bind(folder.path("dead.sock")).unwrap();
    drop(dead);
    folder.hand_over("dead.sock");
    for target in ["precious", "dead.sock", "nothing"] {
        symlink(folder.path(target), &path).unwrap();
        folder.hand_over("agent.sock");
        let (code, told) = folder.refused(&[]);
        assert!(code == Some(4) && told.contains("something is there already"), "a link to {target}: {told}");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_symlink());
        fs::remove_file(&path).unwrap();
    }
    assert_eq!(fs::read_to_string(folder.path("precious")).unwrap(), "text");
    assert!(!folder.path("nothing").exists());
    folder.write("agent.sock", "text", 0o600);
    assert_eq!(folder.refused(&[]).0, Some(4), "a file");
    fs::remove_file(&path).unwrap();
    let living = std::os::unix::net::UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(folder.refused(&[]).0, Some(4), "a socket that somebody answers on");
    drop(living);
    let program = Program::start(folder, &[]).await;
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(program.send(READ).await.status, 200, "a dead socket makes way");
}

#[tokio::test]
async fn a_socket_does_not_lie_where_anybody_may_replace_it() {
    let folder = Folder::new(&on_sockets(&config("http://127.0.0.1:1", "")));
    folder.mode("", 0o777);
    let (code, told) = folder.refused(&[]);
    assert!(code == Some(4) && told.contains("chmod o-w"), "{told}");
    folder.mode("", 0o1777);
    Program::start(folder, &[]).await;
}

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
async fn a_door_is_bound_by_one_process_and_to_this_machine() {
    for door in ["0.0.0.0:7080", "[::]:7080"] {
        for which in ["agent", "admin"] {
            let text = config("http://127.0.0.1:1", "")
                .replace(&format!("{which} = \"127.0.0.1:0\""), &format!("{which} = \"{door}\""));
            let (code, told) = Folder::new(&text).refused(&[]);
            assert!(code == Some(2) && told.contains(&format!("`listen.{which}`")), "{told}");
        }
    }
    let tool = Tool::start().await;
    let first = Program::start(Folder::new(&config(&tool.origin, "")), &[]).await;
    let sharing = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_reuseport(&sharing, true).unwrap();
    bind(&sharing, &"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap()).unwrap();
    listen(&sharing, 1).unwrap();
    let sharing = TcpListener::from(sharing);
    for taken in [first.agent.clone(), first.admin.clone(), sharing.local_addr().unwrap().to_string()] {
        for which in ["agent", "admin"] {
            let text = config("http://127.0.0.1:1", "")
                .replace(&format!("{which} = \"127.0.0.1:0\""), &format!("{which} = \"{taken}\""));
            let (code, told) = Folder::new(&text).refused(&[]);
            assert!(code == Some(4) && told.contains(&format!("{taken} ({which}) cannot be opened")), "{told}");
        }
    }
    // And the one that is served already cannot be shared by whoever comes after it.
    let late = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_socket_reuseport(&late, true).unwrap();
    assert!(bind(&late, &first.agent.parse::<std::net::SocketAddr>().unwrap()).is_err());
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
async fn nothing_changes_through_the_admin_door() {
    let tool = Tool::start().await;
    let more = "[reviewers.ana]\ntoken = { file = \"ana.token\" }\nmay = [\"read\"]\n";
    let folder = Folder::new(&config(&tool.origin, more));
    folder.write("ana.token", "a-reviewers-token-for-tests", 0o600);
    let program = Program::start(folder, &[]).await;
    let call = program.send(READ).await.call();
    let records = async || {
        let head = program.ask(&request("GET", "/checkpoint")).await;
        let ana = "authorization: Bearer a-reviewers-token-for-tests";
        (head.body, program.ask(&with(&request("GET", "/v1/calls"), ana)).await.body)
    };
    // The ending is recorded after the answer.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let before = records().await;
    let paths = [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/checkpoint",
        "/v1/calls",
        &format!("/v1/calls/{call}"),
        "/v1/agents/helper/quarantine",
        "/v1/credentials/x/revoke",
        "/v1/approvals/x/approve",
        "/v1/signals",
        "/debug/pprof/",
        "/debug/vars",
        "/debug",
        "/-/tasks",
        "/tracker/repos/octo/hello/issues/7",
    ];
    for path in paths {
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "OPTIONS"] {
            for bearer in ["", "authorization: Bearer wrong-token-of-some-length\r\n"] {
                let asked = request(method, path).replace("connection:", &format!("{bearer}connection:"));
                let answer = program.ask(&asked).await;
                assert!([400, 401, 403, 404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
            }
        }
        let open = ["/healthz", "/readyz", "/metrics", "/checkpoint"].contains(&path);
        let answer = program.ask(&request("GET", path)).await;
        assert!(if open { answer.status == 200 } else { [401, 404].contains(&answer.status) }, "{path}: {answer:?}");
    }
    assert_eq!(records().await, before);
    assert_eq!(tool.seen().len(), 1);
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
