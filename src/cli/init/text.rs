//! The configuration as it is written, and what is said when it is.

use std::fmt::Write as _;
use std::path::Path;

use super::answers::{Answers, Credential, Proof, ToolAnswer};

/// The whole file.
pub(super) fn configuration(answers: &Answers) -> String {
    let Answers { agent, tool: ToolAnswer { name, .. }, port, .. } = answers;
    let admin = port + 1;
    let (door, proof) = match &answers.proof {
        Proof::User => (
            format!("\"127.0.0.1:{port}\"          # agents call http://127.0.0.1:{port}/{name}/…"),
            format!(
                "{{ peer = {{ uid = {} }} }}]    # any process of this user; `unit`, `exe` … say more",
                rustix::process::geteuid().as_raw()
            ),
        ),
        Proof::Token => (
            format!("\"127.0.0.1:{port}\"          # agents call http://127.0.0.1:{port}/{name}/…"),
            format!(
                "{{ token = {{ file = \"tokens/{agent}\" }} }}]    # sent as `Authorization: Bearer`; can be copied, so it may look only (policies/callers.cedar)"
            ),
        ),
        Proof::Unit(unit) => (SOCKET.to_owned(), format!("{{ peer = {{ unit = {} }} }}]", quoted(unit))),
        Proof::Exe(exe) => (SOCKET.to_owned(), format!("{{ peer = {{ exe = {} }} }}]", quoted(exe))),
    };
    let mode = if answers.observe {
        "\"observe\"                      # all is recorded, no rule refuses anything; then \"shadow\", then \"enforce\""
    } else {
        "\"enforce\"                      # or \"observe\" and \"shadow\", which only record what would be refused"
    };
    let mut text = format!(
        "\
# What every key means: docs/configuration.md. `countersign check` says what is wrong, and where.

[listen]
agent = {door}
admin = \"127.0.0.1:{admin}\"          # for people: countersign approvals, agents, credentials

[lineage]
path = \"lineage.db\"               # what was done, and why; countersign lineage list

[policies]
dir = \"policies\"                  # what is let: begin with allow.cedar
preset = \"balanced\"               # asks about what was not declared; \"strict\" refuses it (docs/values.md)

[agents.{}]
identify = [{proof}
open_tasks = [{{ token = {{ file = \"tokens/framework\" }} }}]    # whoever starts the agent says here what for: POST /-/tasks
tools = [{}]
mode = {mode}
intent = \"writes\"                 # what changes anything has to say what for

# [[agents.{}.limits]]          # how often it may call
# per = \"agent\"
# requests = 600
# window = \"1m\"

[reviewers.owner]                 # whom the policies ask: @ask(\"owner\")
token = {{ file = \"tokens/owner\" }}
may = [\"read\", \"approve\", \"quarantine\"]
roles = [\"on-call\"]

",
        key(agent),
        quoted(name),
        key(agent)
    );
    text.push_str(&tool(&answers.tool));
    text.push_str(&issuer(answers));
    text
}

/// By whom a process is known over a Unix socket, it is known better.
const SOCKET: &str = "\"unix:agent.sock\"            # who a process is, is seen over a socket only";

/// The tool's table.
pub(super) fn tool(tool: &ToolAnswer) -> String {
    let list = |words: &[&str]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    let ToolAnswer { name, upstream, .. } = tool;
    let about = if tool.catalog == "rest" {
        "    # any HTTP API, by its methods; `init --openapi` drafts a better one"
    } else {
        ""
    };
    let mut text = format!(
        "[tools.{}]\nupstream = {}\ncatalog = {}{about}\nissuer = {}\n",
        key(name),
        quoted(upstream),
        quoted(&tool.catalog),
        quoted(name)
    );
    if !tool.networks.is_empty() {
        let networks: Vec<&str> = tool.networks.iter().map(String::as_str).collect();
        let _ =
            writeln!(text, "networks = [{}]    # no public address; without this it is not dialled", list(&networks));
    }
    if upstream.starts_with("http://") {
        text.push_str("plaintext = true\n");
    }
    if let Some(known) = tool.known {
        for (key, headers) in [("request_headers", known.request_headers), ("answer_headers", known.answer_headers)] {
            if !headers.is_empty() {
                let _ = writeln!(text, "{key} = [{}]", list(headers));
            }
        }
    }
    text.push('\n');
    text
}

/// Its issuer's.
pub(super) fn issuer(answers: &Answers) -> String {
    let name = &answers.tool.name;
    let header = answers.tool.known.and_then(|known| known.header);
    let header = header.map_or_else(String::new, |header| format!("header = {}\n", quoted(header)));
    let standing = |from: &str| {
        format!(
            "kind = \"static\"                   # one standing secret, which the agent never sees\nsecret = {from}\n{header}"
        )
    };
    let kind = match &answers.credential {
        Credential::None => format!(
            "\
kind = \"none\"                     # calls go out without a credential
# To lend one: put it into tokens/{name} (chmod 600), and say here
# kind = \"static\"
# secret = {{ file = \"tokens/{name}\" }}
{}",
            if header.is_empty() { header } else { format!("# {header}") }
        ),
        Credential::Jwt => {
            "kind = \"jwt\"                      # a token of our own for each call, good for that call only\n"
                .to_owned()
        }
        Credential::Env(variable) => standing(&format!("{{ env = {} }}", quoted(variable))),
        Credential::File(path) => standing(&format!("{{ file = {} }}", quoted(path))),
    };
    format!("[issuers.{}]\n{kind}", key(name))
}

/// What comes next.
pub(super) struct Next<'a> {
    pub(super) folder: &'a Path,
    pub(super) files: &'a [String],
    pub(super) command: &'a str,
    pub(super) door: &'a str,
    /// The path of a call that needs no value to be made, if one is known.
    pub(super) first: Option<&'a str>,
}

/// What is said at the end.
pub(super) fn farewell(answers: &Answers, next: &Next<'_>) -> String {
    let Next { folder, files, command, door, .. } = next;
    let mut text =
        format!("wrote {}\n\nnext:\n  {command} serve\n{}", files.join("\n      "), first_call(answers, next));
    if let Some(variable) = answers.tool.known.and_then(|known| known.base_url) {
        let _ = writeln!(text, "or with any client of {}:\n  export {variable}={door}", answers.tool.name);
    }
    let token = folder.join("tokens/owner");
    let _ = writeln!(
        text,
        "and, as the reviewer who is asked:\n  {command} approvals list --token-file {}",
        token.display()
    );
    text
}

/// A call to begin with, as whoever may make it.
fn first_call(answers: &Answers, next: &Next<'_>) -> String {
    let Next { folder, door, first, .. } = next;
    let Answers { agent, proof, tool, .. } = answers;
    let within = |name: &str| folder.join(name).display().to_string();
    let (from, local) = match proof {
        Proof::User | Proof::Token => (String::new(), false),
        Proof::Exe(exe) if exe.ends_with("/curl") => (String::new(), true),
        Proof::Exe(exe) => (format!("from the program {exe}"), true),
        Proof::Unit(unit) => (format!("from the unit {unit}"), true),
    };
    let Some(first) = first else {
        let at = if local {
            format!("http://localhost/{} over {}", tool.name, within("agent.sock"))
        } else {
            (*door).to_owned()
        };
        return format!("then, as {agent}, any call of {}, to\n  {at}\n", within(&tool.catalog));
    };
    let socket = within("agent.sock");
    if !from.is_empty() {
        return format!(
            "then, {from} alone (from anywhere else it is refused), over the socket {socket}:\n  GET http://localhost/{}{first}\n",
            tool.name
        );
    }
    let call = match proof {
        Proof::Token => {
            format!("-H \"Authorization: Bearer $(cat {})\" {door}{first}", within(&format!("tokens/{agent}")))
        }
        Proof::User => format!("{door}{first}"),
        Proof::Exe(_) | Proof::Unit(_) => format!("--unix-socket {socket} http://localhost/{}{first}", tool.name),
    };
    format!("then, as {agent}:\n  curl {call}\n")
}

/// A key, bare where it may be; what may be no name at all, the configuration's reader says.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A basic string, as TOML and JSON both write it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
