//! The sandbox as a process: flags, files, signals and messages.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise, in its helpers as well")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Timeout of a start: a loaded machine is slow, a broken start never ends.
const PATIENCE: Duration = Duration::from_secs(60);

fn sandbox(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str]) -> (Output, String, String) {
    let output = sandbox(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn the_demo_plays_a_conversation_and_ends() {
    let (output, stdout, stderr) = run(&["--demo", "--port", "0"]);
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{stdout}");
    assert!(lines[0].starts_with("customer  Hello"));
    assert!(lines[1].starts_with("business  Yes") && lines[1].ends_with("(sent, delivered, read)"));
    assert_eq!(stderr, "", "no warnings on the way");
}

#[test]
fn a_bad_flag_and_a_bad_port_are_explained() {
    let (output, _, stderr) = run(&["--prot", "1"]);
    assert!(!output.status.success() && stderr.contains("--prot") && stderr.contains("--help"), "{stderr}");
    let (output, _, stderr) = run(&["--port", "65534"]);
    assert!(!output.status.success() && stderr.contains("65533"), "{stderr}");
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().min(65_533);
    let (output, _, stderr) = run(&["--port", &port.to_string()]);
    assert!(!output.status.success());
    assert!(stderr.contains(&format!("port {port} is in use")) && stderr.contains("--port"), "{stderr}");
}

#[test]
fn a_state_folder_that_is_a_file_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (output, _, stderr) = run(&["--port", "0", "--state", &file.path().to_string_lossy()]);
    assert!(!output.status.success());
    assert!(stderr.contains(&*file.path().to_string_lossy()), "{stderr}");
}

#[cfg(unix)]
#[test]
fn the_ready_file_tells_a_script_everything_and_ctrl_c_stops_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let ready_file = folder.path().join("ready.json");
    let mut process = Stopped(
        sandbox(&["--port", "0", "--ready-file", &ready_file.to_string_lossy()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let since = Instant::now();
    while !ready_file.exists() {
        assert!(since.elapsed() < PATIENCE, "no ready file");
        assert!(process.0.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    let ready: Value = serde_json::from_slice(&std::fs::read(&ready_file).unwrap()).unwrap();
    for key in ["gateway", "meta", "aws", "region", "tenant_id", "api_key", "operator_key"] {
        assert!(ready[key].as_str().is_some_and(|value| !value.is_empty()), "{key}");
    }
    for (object, keys) in
        [("app", ["id", "secret", "verify_token"]), ("number", ["phone_number_id", "display_phone_number", "waba_id"])]
    {
        for key in keys {
            assert!(ready[object][key].as_str().is_some_and(|value| !value.is_empty()), "{object}.{key}");
        }
    }
    let bases: std::collections::BTreeSet<&str> =
        ["gateway", "meta", "aws"].iter().filter_map(|key| ready[*key].as_str()).collect();
    assert_eq!(bases.len(), 3, "three servers, three ports");

    let pid = process.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let status = process.0.wait().unwrap();
    let mut stdout = BufReader::new(process.0.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(status.success(), "{status:?}");
    assert!(first.contains("Switchboard is running"));
    assert_eq!(rest.lines().filter(|line| line.starts_with("curl ")).count(), 3, "three lines to try");
    assert!(rest.contains("Stopping"));
}

/// Kills the process when a test fails early.
#[cfg(unix)]
struct Stopped(Child);

#[cfg(unix)]
impl Drop for Stopped {
    fn drop(&mut self) {
        // Usually the process has already ended.
        drop(self.0.kill());
    }
}
