//! Group H: what is near the sidecar on the same machine. Browsers, other users, other processes of its user.

mod processes;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket};

use super::nobody::{Folder, NOBODY, Program, as_its_user, as_user, config, is_root};
use crate::suite::common::sidecar::{Answer, READ};
use crate::suite::common::tool::Tool;

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

/// All that a command prints, while this thread goes on.
async fn said(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap().trim().to_owned()
}

async fn connects(mut user: Command, socket: &Path) -> String {
    user.args(["-c", CONNECT]).arg(socket).current_dir("/");
    said(user).await
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
        assert_eq!(connects(as_user(4242, "/usr/bin/python3"), &path).await, "PermissionError", "through the folder");
        program.folder.mode("", 0o755);
        assert_eq!(connects(as_user(4242, "/usr/bin/python3"), &path).await, "PermissionError", "by its own mode");
        assert_eq!(connects(as_its_user("/usr/bin/python3"), &path).await, "in");
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
    let as_uid = async |uid| {
        let mut command = as_user(uid, "/usr/bin/python3");
        command.args(["-c", &script]).arg(program.folder.path("agent.sock")).current_dir("/");
        said(command).await
    };
    assert_eq!(as_uid(4242).await, "HTTP/1.1 401");
    assert_eq!(as_uid(NOBODY).await, "HTTP/1.1 401", "the sidecar's own user is no agent");
    assert_eq!(as_uid(0).await, "HTTP/1.1 200", "the user that the agent's `identify` names");
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
    let told = async |what: &'static str| {
        let mut command = Command::new("python3");
        command.args(["-c", &script]).arg(program.folder.path("agent.sock")).arg(what);
        said(command).await
    };
    assert_eq!(told("lives").await, "HTTP/1.1 200");
    assert_eq!(told("dies").await, "HTTP/1.1 401");
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
        // What `/` shows to everybody is where to log in.
        let open = ["/", "/healthz", "/readyz", "/metrics", "/checkpoint"].contains(&path);
        let answer = program.ask(&request("GET", path)).await;
        assert!(
            if open { answer.status == 200 } else { [401, 404, 405].contains(&answer.status) },
            "{path}: {answer:?}"
        );
    }
    assert_eq!(records().await, before);
    assert_eq!(tool.seen().len(), 1);
}
