//! A real systemd.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Process, environment, kept, peers, wait_for};

/// A user's systemd with units of a test, in namespaces of its own. It ends with its services when this is dropped.
pub struct Systemd {
    /// `None` once it has ended.
    process: Option<Process>,
    control_group: PathBuf,
    _folder: TempDir,
}

/// What the first process of the namespaces does. systemd wants to find the system as another systemd has booted it, and to have a
/// hierarchy of control groups to itself.
const BOOT: &str = r#"
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
mount -t tmpfs tmpfs /sys/fs/cgroup
if grep -q ':name=systemd:' /proc/self/cgroup; then
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
"$0" --user &
wait
"#;

/// Where its sockets are, in its own `/run`: a service with a `/tmp` of its own reaches them, too.
const RUNTIME_DIR: &str = "/run/user/0";

impl Systemd {
    /// Starts it with these units, each with its name and text. `None`, with the reason printed, if that can't be done here: it needs
    /// root, and control groups that can be changed.
    pub fn start(units: &[(&str, &str)]) -> Option<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let systemd = command("lib/systemd/systemd")?;
        let name = format!("convene-test-{}-{}", process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let mounts = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].map(Path::new);
        let hierarchy = mounts.into_iter().find(|mount| mount.join("cgroup.procs").exists());
        let control_group = hierarchy.map(|mount| mount.join(name));
        let Some(control_group) = control_group.filter(|group| fs::create_dir(group).is_ok()) else {
            peers::skip("systemd can't run here: no control group can be made");
            return None;
        };
        let folder = kept::folder();
        let unit_files = folder.path().join("units");
        fs::create_dir(&unit_files).unwrap();
        // Units depend on these by default.
        let targets =
            ["basic.target", "default.target", "shutdown.target"].map(|name| (name, "[Unit]\nDescription=Empty\n"));
        for (name, text) in targets.iter().chain(units) {
            fs::write(unit_files.join(name), text).unwrap();
        }
        let mut command = environment::command(Path::new("sh"));
        command
            .args(["-c", r#"echo $$ >"$1/cgroup.procs"; exec unshare -m -C -p -f --kill-child sh -c "$2" "$0""#])
            .args([Path::new(systemd.get_program()), &control_group])
            .arg(BOOT)
            .env("HOME", folder.path())
            .env("SYSTEMD_UNIT_PATH", unit_files)
            .env("SYSTEMD_LOG_TARGET", "console")
            .env("XDG_RUNTIME_DIR", RUNTIME_DIR);
        environment::copy(&systemd, &mut command);
        let mut systemd =
            Self { process: Some(Process::spawn("systemd", &mut command)), control_group, _folder: folder };
        let answer = wait_for(Duration::from_secs(60), || {
            let is_running = systemd.process.as_mut().is_some_and(Process::is_running);
            let answer = systemd.systemctl(&["show", "-p", "Version"]);
            (answer.is_ok() || !is_running).then_some(answer)
        });
        match answer {
            Some(Ok(_)) => Some(systemd),
            Some(Err(_)) => {
                peers::skip(&format!("systemd can't run here: {}", systemd.output()));
                None
            }
            None => panic!("systemd does not answer: {}", systemd.output()),
        }
    }

    /// Runs systemctl; its output, or its error message.
    pub fn systemctl(&self, arguments: &[&str]) -> Result<String, String> {
        let systemctl = command("bin/systemctl").expect("systemctl is installed with systemd");
        // systemd talks only to processes that it sees.
        let unshare = self.process.as_ref().expect("it has not been stopped").id();
        let first = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
        let mut inside = environment::command(Path::new("nsenter"));
        environment::copy(&systemctl, &mut inside);
        inside.env("XDG_RUNTIME_DIR", RUNTIME_DIR);
        inside.args(["--mount", "--pid", "--target", first.trim()]).arg(systemctl.get_program());
        let output = inside.args(["--user", "--no-pager"]).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Waits until a property of a unit is as wanted, and returns it.
    pub fn wait_for_property(&self, unit: &str, property: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = Err(String::new());
        let found = wait_for(Duration::from_secs(60), || {
            last = self.systemctl(&["show", unit, "--value", "-p", property]).map(|value| value.trim_end().to_owned());
            last.clone().ok().filter(|value| wanted(value))
        });
        found.unwrap_or_else(|| panic!("{property} of {unit} is {last:?}:\n{}", self.output()))
    }

    /// What systemd and its services have printed so far.
    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        self.process = None;
        // Groups below are those of the services.
        let removed = wait_for(Duration::from_secs(10), || remove_control_group(&self.control_group).ok());
        if removed.is_none() {
            eprintln!("{} is left", self.control_group.display());
        }
    }
}

/// The files in it go with it.
pub(crate) fn remove_control_group(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_control_group(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// A program of systemd with its libraries, by its path in the folder of the peers; `None` if it is not installed.
pub fn command(program: &str) -> Option<Command> {
    let path = peers::program("systemd", program)?;
    let root = path.ancestors().nth(Path::new(program).components().count()).expect("the path begins with the folder");
    let folders = ["lib/x86_64-linux-gnu/systemd", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/x86_64-linux-gnu"];
    let mut command = environment::command(&path);
    command.env("LD_LIBRARY_PATH", env::join_paths(folders.map(|folder| root.join(folder))).unwrap());
    Some(command)
}
