//! D: where a call goes. What a tool's name resolves to is asked once, judged whole, and dialled as it was judged.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::forward::Resolver;
use rustls::RootCertStore;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::bench::{Bench, CATALOG, POLICY, get, post, wanted};
use super::certified::{Names, way};
use super::json::check;
use super::program::Program;
use crate::suite::common::raw::{FINE, Reply};
use crate::suite::common::sidecar::Wanted;

const EVERYWHERE: &str = "networks = [\"0.0.0.0/0\", \"::/0\"]\nplaintext = true";
const THIS: &str = "networks = [\"127.0.0.1/32\"]\nplaintext = true";
const TEN: &str = "networks = [\"10.0.0.0/8\"]\nplaintext = true";

// `2000::1` is public and nobody's: a guard that fails calls no stranger.
const PUBLIC: &str = "[2000::1]:80";

/// A sidecar whose tool is `http://tool.test`, found by this resolver.
async fn named(resolver: Resolver, networks: &'static str) -> Bench {
    let origin = Some("http://tool.test".to_owned());
    let wanted = Wanted { origin, networks, listen: "workers = 1", ..wanted() };
    Bench::start(wanted, way(resolver, RootCertStore::empty())).await
}

/// Asks the tool; gives status and code, and why the call ended as it did.
async fn asked(bench: &Bench, target: &str) -> ((u16, String), String) {
    let answer = bench.ask(get(target)).await;
    let ended = bench.sidecar.story(answer.call(), "ended").await.last("ended").unwrap().entry.clone();
    // Whatever was lent for it is over, and the agent is told no address.
    assert_ne!(ended["credential"]["revocation"], Value::Null, "{ended}");
    for told in ["127.0.0", "169.254", "metadata", "tool.test"] {
        assert!(!answer.body.contains(told), "{answer:?}");
    }
    (answer.code(), ended["why"].as_str().unwrap_or_default().to_owned())
}

async fn is_blocked(bench: &Bench, why: &str) {
    let (code, told) = asked(bench, "/tracker/notes").await;
    assert_eq!(code, (403, "egress_blocked".to_owned()), "{told}");
    assert!(told.contains(why), "`{told}` and not `{why}`");
}

/// The same sidecar, started again with another configuration.
async fn changed(bench: &mut Bench, change: impl Fn(&str) -> String) {
    let file = bench.sidecar.folder.path().join("countersign.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, change(&text)).unwrap();
    bench.sidecar.restart().await;
}

#[tokio::test]
async fn d1_a_metadata_service_is_called_by_no_name_and_no_address_whatever_is_listed() {
    let nobody = Names::of(vec![vec![PUBLIC.parse().unwrap()]]);
    for host in [
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "metadata.google.internal",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        let wanted = Wanted { origin: Some(format!("http://{host}")), networks: EVERYWHERE, ..wanted() };
        let bench = Bench::start(wanted, way(nobody.resolver(), RootCertStore::empty())).await;
        is_blocked(&bench, "is a cloud's metadata service").await;
        bench.hold().await;
    }
    assert_eq!(nobody.asked(), 0, "a name or an address that is known needs no resolver");
}

#[test]
fn d3_an_address_that_is_read_in_two_ways_is_none() {
    let at = |upstream: &str| check(|text| text.replace("http://127.0.0.1:9", upstream), CATALOG, POLICY);
    assert_eq!(at("http://127.0.0.1:8").0, Some(0));
    for host in [
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "017700000001",
        "\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}",
        "0",
        "169.254.169.254.",
        "localhost.",
        "\u{24db}ocalhost",
        "127.0.0.1%2f",
        "good\u{3002}test",
        "a%2eb",
        "Localhost",
        "[::127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::1%25eth0]",
        "[::0001]",
        "user@127.0.0.1",
    ] {
        let (code, told) = at(&format!("http://{host}"));
        assert!(code == Some(2) && told.contains("tools.tracker.upstream"), "{host}: {code:?} {told}");
    }
    // E10: nor is there a plain address for a credential, but where both are said.
    for (said, unsaid) in
        [("plaintext = true\n", ""), ("networks = [\"127.0.0.0/8\"]\n", ""), ("plaintext = true", "plaintext = false")]
    {
        let (code, told) = check(|text| text.replace(said, unsaid), CATALOG, POLICY);
        assert!(code == Some(2) && told.contains("over plain http"), "{said}: {code:?} {told}");
    }
}

#[tokio::test]
async fn d4_what_is_not_public_and_not_listed_is_not_called_in_any_disguise() {
    let names = Arc::<Names>::default();
    let bench = named(names.resolver(), TEN).await;
    let inside = [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "[::1]",
        "[::]",
        "[fc00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::ffff:10.0.0.1]",
    ];
    let at = |address: &str| -> SocketAddr { format!("{address}:{}", bench.a.address.port()).parse().unwrap() };
    names.are(inside.iter().map(|address| vec![at(address)]).collect());
    for address in inside {
        let (code, told) = asked(&bench, "/tracker/notes").await;
        assert_eq!(code, (403, "egress_blocked".to_owned()), "{address}: {told}");
        assert!(told.contains("is not public"), "{address}: {told}");
    }
    assert_eq!((names.asked(), bench.a.connections()), (inside.len(), 0));
    // E10: what is public may be called, but not with a credential in the clear.
    names.are(vec![vec![PUBLIC.parse().unwrap()]]);
    is_blocked(&bench, "without TLS").await;
    bench.hold().await;
}

#[tokio::test]
async fn d5_a_name_that_is_bound_anew_is_judged_anew_and_asked_for_once_a_connection() {
    let names = Arc::<Names>::default();
    let bench = named(names.resolver(), THIS).await;
    let other = TcpListener::bind(("127.0.0.2", bench.a.address.port())).await.unwrap();
    names.are(vec![vec![bench.a.address], vec![other.local_addr().unwrap()]]);
    bench.a.reply(Reply::new(FINE));
    bench.a.reply(Reply::new(FINE).then_close());
    for _ in 0..2 {
        assert_eq!(bench.ask(get("/tracker/notes")).await.status, 200);
    }
    // Both on one connection, for which the name was asked once; it stays the name.
    assert_eq!((names.asked(), bench.a.connections()), (1, 1));
    assert!(bench.a.requests().iter().all(|seen| seen.all("host") == ["tool.test"]), "{:?}", bench.a.requests());
    tokio::time::sleep(Duration::from_millis(100)).await;
    is_blocked(&bench, "127.0.0.2").await;
    assert_eq!(names.asked(), 2);
    let accepted = tokio::time::timeout(Duration::from_millis(200), other.accept()).await;
    assert!(accepted.is_err(), "what was not judged was dialled: {accepted:?}");
    bench.hold().await;
}

#[tokio::test]
async fn d6_an_answer_is_good_as_a_whole_or_not_at_all() {
    let names = Arc::<Names>::default();
    let bench = named(names.resolver(), THIS).await;
    let (good, bad) = (bench.a.address, "127.0.0.2:1".parse().unwrap());
    names.are(vec![vec![good, bad], vec![bad, good], vec![good; 1_000], Vec::new()]);
    is_blocked(&bench, "is not public").await;
    is_blocked(&bench, "is not public").await;
    is_blocked(&bench, "1000 addresses").await;
    assert_eq!(asked(&bench, "/tracker/notes").await.0, (502, "upstream_failed".to_owned()));
    assert_eq!(bench.a.connections(), 0);
    bench.hold().await;
}

#[tokio::test]
async fn r8_without_a_name_there_is_no_call_and_no_long_wait() {
    let missing = Resolver::new(|_, _| Box::pin(async { Err(io::Error::other("no such name")) }));
    let silent = Resolver::new(|_, _| Box::pin(std::future::pending()));
    for (resolver, status, code) in [(missing, 502, "upstream_failed"), (silent, 504, "upstream_timeout")] {
        let bench = named(resolver, EVERYWHERE).await;
        let begun = Instant::now();
        assert_eq!(asked(&bench, "/tracker/notes").await.0, (status, code.to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        // It was recorded and lent, and is over: the next call is none the worse.
        assert_eq!((bench.sidecar.vault.minted(), bench.sidecar.vault.live()), (1, 0));
        bench.hold().await;
    }
}

#[tokio::test]
async fn d7_a_connection_that_one_tool_may_have_is_no_way_for_another() {
    let mut bench = Bench::single().await;
    changed(&mut bench, |text| {
        let (_, rest) = text.split_once("[tools.tracker]").unwrap();
        let (tracker, _) = rest.split_once("[issuers.vault]").unwrap();
        let shut = tracker.replace("127.0.0.0/8", "10.0.0.0/8");
        text.replace("tools = [\"tracker\"]", "tools = [\"tracker\", \"shut\"]") + "\n[tools.shut]" + &shut
    })
    .await;
    for _ in 0..2 {
        assert_eq!(bench.ask(get("/tracker/notes")).await.status, 200);
        let (code, why) = asked(&bench, "/shut/notes").await;
        assert_eq!(code, (403, "egress_blocked".to_owned()), "{why}");
    }
    assert_eq!((bench.a.connections(), bench.a.requests().len()), (1, 2), "the kept connection is its own tool's");
    bench.hold().await;
}

#[tokio::test]
async fn d8_no_proxy_of_the_environment_comes_between() {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let mut environment: Vec<(&str, &str)> = names.iter().map(|name| (*name, url.as_str())).collect();
    environment.extend([("NO_PROXY", ""), ("no_proxy", "")]);
    let program = Program::start(wanted(), &environment).await;
    assert_eq!(program.ask(post("/tracker/notes", "{}")).await.status, 200);
    let accepted = tokio::time::timeout(Duration::from_millis(200), proxy.accept()).await;
    assert!(accepted.is_err(), "the proxy was called: {accepted:?}");
    program.hold().await;
}

#[tokio::test]
async fn d9_neither_door_is_a_tool() {
    let mut bench = Bench::usual().await;
    let (agent, admin) = (bench.sidecar.door, bench.sidecar.admin);
    let mut now = bench.a.origin.clone();
    changed(&mut bench, |text| {
        let text = text.replacen("127.0.0.1:0", &agent.to_string(), 1).replacen("127.0.0.1:0", &admin.to_string(), 1);
        text.replace("127.0.0.0/8", "0.0.0.0/0")
    })
    .await;
    for door in [agent.to_string(), admin.to_string(), format!("0.0.0.0:{}", agent.port())] {
        let next = format!("http://{door}");
        changed(&mut bench, |text| text.replace(&format!("\"{now}\""), &format!("\"{next}\""))).await;
        now = next;
        is_blocked(&bench, "own doors").await;
    }
    bench.hold().await;
}

#[tokio::test]
async fn d9_a_call_that_comes_back_by_another_way_is_known() {
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = relay.local_addr().unwrap();
    let mut bench = Bench::usual().await;
    let a = bench.a.origin.clone();
    changed(&mut bench, |text| {
        // By the relay's name, and below the tool's own path, so that it would go round for ever.
        let text = text.replace(&a, &format!("http://{through}/tracker"));
        text.replace("[lineage]", &format!("hosts = [\"{through}\"]\n[lineage]"))
    })
    .await;
    let door = bench.sidecar.door;
    let relayed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = relayed.clone();
    tokio::spawn(async move {
        while let Ok((mut one, _)) = relay.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::spawn(async move {
                let mut other = TcpStream::connect(door).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
            });
        }
    });
    let answer = bench.ask(get("/tracker/notes")).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let stories = bench.sidecar.wait_for("ended", 1).await;
    let refused: Vec<&Value> =
        stories.iter().filter_map(|story| story.first("refused")).map(|refused| &refused.entry["code"]).collect();
    assert_eq!((refused, stories.len()), (vec![&Value::from("egress_blocked")], 2));
    assert_eq!(relayed.load(std::sync::atomic::Ordering::SeqCst), 1);
    bench.hold().await;
}
