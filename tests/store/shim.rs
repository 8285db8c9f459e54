//! A process of ours on a disk that can be full, slow, broken or a liar: `shim.c` below it, orders into it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use countersign::model::Revocation;
use countersign::record::{Checkpoint, Lineage, Options, Reader, Receipt, Rotate, SqliteLineage, Sync};

use super::fixture::*;
use crate::suite::common::checkout::checkout;

/// What the disk is told, by place.
#[derive(Clone, Copy)]
pub enum Order {
    /// Bytes that are free; below zero: enough.
    Space = 0,
    /// This many syncs from now, one fails.
    SyncFailsIn = 1,
    /// Every write fails with this error.
    WriteErrno = 2,
    /// How long a sync takes, in ms.
    SyncMs = 3,
    /// Syncs do nothing, and say they did.
    SyncLies = 4,
}

/// The disk.
pub struct Disk {
    pub folder: PathBuf,
    control: PathBuf,
    library: PathBuf,
    pub journal: PathBuf,
}

impl Disk {
    /// Under a folder of `place`; what lies in the rest of it is not watched.
    pub fn under(place: &Place) -> Self {
        let at = |name: &str| place.folder.path().join(name);
        let disk = Self { folder: at("disk"), control: at("control"), library: at("shim.so"), journal: at("journal") };
        std::fs::create_dir_all(&disk.folder).unwrap();
        let source = checkout("tests/store/shim.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([disk.library.as_os_str(), source.as_os_str()])
            .args(["-ldl", "-lpthread"])
            .status();
        assert!(built.expect("there is a C compiler").success());
        File::create(&disk.control).unwrap().set_len(56).unwrap();
        disk.tell(Order::Space, -1);
        disk
    }

    pub fn tell(&self, order: Order, number: i64) {
        let file = File::options().write(true).open(&self.control).unwrap();
        file.write_all_at(&number.to_ne_bytes(), order as u64 * 8).unwrap();
    }

    /// What an order stands at.
    pub fn told(&self, order: Order) -> i64 {
        let mut number = [0; 8];
        File::open(&self.control).unwrap().read_exact_at(&mut number, order as u64 * 8).unwrap();
        i64::from_ne_bytes(number)
    }

    /// Puts the disk under a command.
    pub fn carry(&self, command: &mut Command, journal: bool) {
        command.env("LD_PRELOAD", &self.library).env("SHIM_DIR", &self.folder).env("SHIM_CONTROL", &self.control);
        if journal {
            command.env("SHIM_JOURNAL", &self.journal);
        }
    }
}

const PLACE: &str = "COUNTERSIGN_TEST_STORE";
const KEY: &str = "COUNTERSIGN_TEST_KEY";
const NORMAL: &str = "COUNTERSIGN_TEST_NORMAL";

/// The process on the disk.
pub struct Process {
    pub child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    pub fn start(place: &Place, disk: &Disk, sync: Sync, journal: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "store::shim::child_process_on_the_disk", "--nocapture"]);
        command.env(PLACE, disk.folder.join("lineage.db")).env(KEY, hex::encode(place.key()));
        if sync == Sync::Normal {
            command.env(NORMAL, "1");
        }
        disk.carry(&mut command, journal);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Self { child, orders, answers };
        assert_eq!(process.answer(), "open");
        process
    }

    /// Says something, and waits for the answer.
    pub fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.answer()
    }

    /// Without waiting.
    pub fn say(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
    }

    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            if self.answers.read_line(&mut line).unwrap() == 0 {
                return "gone".to_owned();
            }
            // The test runner of the child has a line or two of its own.
            if let Some((_, answer)) = line.trim_end().split_once('>') {
                return answer.to_owned();
            }
        }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test by itself: the process that the tests start. It does what it is told on its standard input.
#[test]
fn child_process_on_the_disk() {
    let (Ok(path), Ok(key)) = (std::env::var(PLACE), std::env::var(KEY)) else { return };
    let sync = if std::env::var_os(NORMAL).is_some() { Sync::Normal } else { Sync::Full };
    let (path, key) = (PathBuf::from(path), hex::decode(key).unwrap());
    let signed_every = Duration::from_millis(3);
    let options = Options {
        path: path.clone(),
        sync,
        room: 1024,
        whole: 4,
        reserve: 1 << 20,
        signed_every,
        rotate: Rotate { bytes: Some(256 * 1024), age: None },
    };
    let open = || SqliteLineage::open(options.clone(), signer(&key), clock()).unwrap();
    let (mut lineage, _) = open();
    println!(">open");
    for order in std::io::stdin().lines() {
        let order = order.unwrap();
        let mut words = order.split(' ');
        let verb = words.next().unwrap();
        let number = words.next().map_or(0, |word| word.parse::<u64>().unwrap());
        let receipt = |receipt: Receipt| match wait(receipt) {
            Ok(seq) => format!("ok {seq}"),
            Err(why) => format!("no {why}"),
        };
        let answer = match verb {
            "permit" => receipt(lineage.append(permitted(number))),
            "end" => receipt(lineage.append(ended(number, Revocation::Confirmed))),
            "refuse" => {
                (0..number).for_each(|n| drop(lineage.append(refused(n))));
                "noted".to_owned()
            }
            "trouble" => lineage.trouble().map_or_else(|| "well".to_owned(), |why| format!("trouble {why}")),
            "reopen" => {
                drop(lineage);
                let (opened, limbo) = open();
                lineage = opened;
                format!("limbo {}", limbo.calls.len())
            }
            "run" => {
                let count = words.next().unwrap().parse().unwrap();
                lineage = run(&path, lineage, &open, (number, count));
                "done".to_owned()
            }
            "stop" => break,
            other => panic!("{other}"),
        };
        println!(">{answer}");
    }
    drop(lineage);
    println!(">stopped");
}

/// Calls that are permitted and ended, some at once, now and then a checkpoint that is looked at, a log that is moved, a
/// store that is closed and opened. What was acknowledged is said on the disk, in the order of everything else.
fn run(
    path: &Path,
    mut lineage: Arc<SqliteLineage>,
    open: &dyn Fn() -> (Arc<SqliteLineage>, countersign::record::Limbo),
    (seed, count): (u64, u64),
) -> Arc<SqliteLineage> {
    let mut said = File::options().append(true).create(true).open(path.with_file_name("said")).unwrap();
    let mut random = Random(seed);
    let mut next = seed << 32;
    for step in 0..count {
        let together = 1 + random.below(5);
        let receipts: Vec<_> = (next..next + together).map(|n| (n, lineage.append(permitted(n)))).collect();
        for (n, receipt) in receipts {
            if let Ok(seq) = wait(receipt) {
                said.write_all(format!("permitted {seq} {}\n", call(n)).as_bytes()).unwrap();
            }
            let ending = lineage.append(ended(n, Revocation::Confirmed));
            if random.below(3) == 0
                && let Ok(seq) = wait(ending)
            {
                said.write_all(format!("ended {seq} {}\n", call(n)).as_bytes()).unwrap();
            }
        }
        next += together;
        if step % 8 == 7 {
            look(path, &mut said);
        }
        if random.below(16) == 0 {
            let db = rusqlite::Connection::open(path).unwrap();
            let _ = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        if random.below(48) == 0 {
            drop(lineage);
            (lineage, _) = open();
            look(path, &mut said);
        }
    }
    lineage
}

/// Somebody fetches the latest checkpoint and keeps it.
fn look(path: &Path, said: &mut File) {
    if let Ok(Some(note)) = Reader::open(path).and_then(|reader| reader.checkpoint()) {
        let Checkpoint { size, root, .. } = Checkpoint::parse(&note).unwrap();
        said.write_all(format!("checkpoint {size} {root}\n").as_bytes()).unwrap();
    }
}

/// The same numbers for the same seed (Marsaglia's xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
