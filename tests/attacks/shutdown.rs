//! R6: the program is told to stop, once or twice, while calls are under way.

use std::time::{Duration, Instant};

use countersign::record::Story;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::bench::get;
use super::program::Program;
use crate::suite::common::invariants;
use crate::suite::common::raw::{FINE, Reply};
use crate::suite::common::wire::{Answer, Line};

/// Without `connection: close`.
fn kept(target: &str) -> String {
    get(target).replace("connection: close\r\n", "")
}

/// So many connections, each with a call that waits for the tool.
async fn waiting(program: &Program, count: usize) -> Vec<Line> {
    let reached = program.a.requests().len();
    program.a.before_answer.close();
    let mut lines = Vec::new();
    for _ in 0..count {
        let mut line = program.agent().line().await;
        line.say(kept("/tracker/notes")).await;
        lines.push(line);
    }
    program.a.before_answer.reached(reached + count).await;
    lines
}

/// Tells it to stop, and waits until it has heard.
async fn told_to_stop(program: &Program) {
    program.tell_to_stop();
    for _ in 0..200 {
        if program.log().contains("stopping: calls under way") {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not hear: {}", program.log());
}

async fn no_more_connections(program: &Program) {
    for _ in 0..100 {
        if TcpStream::connect(program.agent().door).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("connections are still accepted");
}

/// A request that comes too late is refused, or the connection is closed without an answer.
fn is_late(answer: Option<&Answer>) -> bool {
    answer.is_none_or(|answer| answer.code() == (503, "draining".to_owned()))
}

fn endings(stories: &[Story]) -> Vec<String> {
    let ended = |story: &Story| Some(story.last("ended")?.entry["ending"].as_str()?.to_owned());
    stories.iter().filter_map(ended).collect()
}

/// What holds once it has stopped, of every call it had: as many as `permitted`, each with its one ending.
fn all_have_ended(program: &Program, permitted: usize) -> Vec<Story> {
    let mut stories = invariants::stories(&program.reader());
    invariants::assert_each_has_its_records(&stories);
    stories.retain(|story| story.first("permitted").is_some());
    assert_eq!(stories.len(), permitted);
    stories
}

#[tokio::test]
async fn calls_under_way_get_their_answers_and_nobody_else_gets_in() {
    let mut program = Program::usual().await;
    let mut idle = program.agent().line().await;
    idle.say(kept("/tracker/notes")).await;
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let mut lines = waiting(&program, 4).await;
    told_to_stop(&program).await;
    let begun = Instant::now();
    no_more_connections(&program).await;
    idle.say(kept("/tracker/notes")).await;
    let late = idle.answer().await;
    assert!(is_late(late.as_ref()), "{late:?}");
    // Behind a call that is under way, too.
    lines[0].say(kept("/tracker/notes")).await;
    program.a.before_answer.release();
    for line in &mut lines {
        assert_eq!(line.answer().await.expect("the answer to a call under way").status, 200);
    }
    for line in &mut lines {
        let late = line.answer().await;
        assert!(is_late(late.as_ref()), "{late:?}");
    }
    program.has_stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(endings(&all_have_ended(&program, 5)), ["completed"; 5]);
    assert_eq!(program.a.requests().len(), 5, "what came too late was not sent");
    drop((idle, lines));
    program.start_again().await;
    program.hold().await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_and_recorded() {
    let mut program = Program::usual().await;
    // One in the middle of its body, and two of which no head has come.
    let half = FINE.replace("content-length: 13", "content-length: 99");
    program.a.reply(Reply::new(half));
    let mut begun_body = program.agent().line().await;
    begun_body.say(kept("/tracker/notes")).await;
    while !begun_body.rest().windows(4).any(|end| end == b"\r\n\r\n") {
        assert!(begun_body.hear().await);
    }
    let mut lines = waiting(&program, 2).await;
    told_to_stop(&program).await;
    let begun = Instant::now();
    for line in &mut lines {
        let answer = timeout(Duration::from_secs(15), line.answer()).await.expect("an answer in time").unwrap();
        assert_eq!(answer.code(), (409, "task_over".to_owned()));
    }
    while begun_body.hear().await {}
    program.has_stopped().await;
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(20), "{took:?}");
    let stories = all_have_ended(&program, 3);
    assert_eq!(endings(&stories), ["shutdown"; 3]);
    program.a.before_answer.release();
    drop((begun_body, lines));
    program.start_again().await;
    assert_eq!(program.ask(get("/tracker/notes")).await.status, 200);
    program.hold().await;
}

#[tokio::test]
async fn told_twice_it_goes_at_once_and_the_next_start_ends_what_was_open() {
    let mut program = Program::usual().await;
    let lines = waiting(&program, 3).await;
    told_to_stop(&program).await;
    sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    program.tell_to_stop();
    program.has_stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(lines);
    program.a.before_answer.release();
    program.start_again().await;
    let mut found = Vec::new();
    for _ in 0..200 {
        found = endings(&invariants::stories(&program.reader()));
        if found.len() == 3 {
            break;
        }
        sleep(Duration::from_millis(25)).await;
    }
    // Cut on the way out, if there was time for it; else nobody knows.
    assert!(found.len() == 3 && found.iter().all(|ending| ["unknown", "shutdown"].contains(&&**ending)), "{found:?}");
    assert_eq!(program.ask(get("/tracker/notes")).await.status, 200);
    program.hold().await;
}
