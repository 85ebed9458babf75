//! Machines as the documentation assumes them: each with systemd, OpenSSH, sqlite3, a root shell and an address in one network.

mod services;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use crate::{Process, etcd::Version, kept, network::ip, peers, programs, systemd::remove_control_group, wait_for};

/// Several machines in a network of their own, in which the addresses of the documentation are free.
pub struct Site {
    /// The namespace of the bridge that connects the machines.
    switch: String,
    folder: TempDir,
    /// The etcd that is installed on each machine.
    etcd: Version,
}

/// A machine that systemd has booted. Its root file system is a copy of this host's, so nothing that it changes is left.
pub struct Machine {
    /// Its host name.
    pub name: String,
    /// root's home, as this host sees it.
    home: PathBuf,
    process: Process,
    control_group: PathBuf,
    namespace: String,
}

/// The machines of the documentation, with their addresses. Each of them knows the others as NAME and as NAME.corp.
const HOSTS: [(&str, &str); 10] = [
    ("db", "10.0.0.4"),
    ("infra0", "10.0.0.10"),
    ("infra1", "10.0.0.11"),
    ("infra2", "10.0.0.12"),
    ("infra3", "10.0.0.13"),
    ("infra4", "10.0.0.14"),
    ("infra5", "10.0.0.15"),
    ("proxy", "10.0.0.20"),
    ("discovery", "10.0.0.21"),
    ("discovery2", "10.0.0.22"),
];

/// What a booted machine starts, apart from what is installed on it.
const UNITS: [(&str, &str); 8] = [
    ("basic.target", "[Unit]\nDescription=Empty\n"),
    ("network-online.target", "[Unit]\nDescription=Empty\n"),
    ("shutdown.target", "[Unit]\nDescription=Empty\nDefaultDependencies=no\n"),
    ("sockets.target", "[Unit]\nDescription=Empty\n"),
    ("sysinit.target", "[Unit]\nDescription=Empty\n"),
    ("timers.target", "[Unit]\nDescription=Empty\n"),
    ("multi-user.target", "[Unit]\nDescription=All\nWants=systemd-journald.service ssh.service\n"),
    ("ssh.service", "[Service]\nType=notify\nRuntimeDirectory=sshd\nExecStart=/usr/sbin/sshd -D -e\n"),
];

/// What the first process of a machine does: it makes the root file system, and becomes systemd.
const BOOT: &str = r#"
set -eu
peers=$1 folder=$2 name=$3
shift 3
mount --make-rprivate /
mkdir "$folder/changes" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/changes,workdir=$folder/work" "$folder/root"
root=$folder/root
for package in systemd machines "$@"; do
    for part in etc lib sbin usr; do
        [ ! -d "$peers/$package/$part" ] || cp -a "$peers/$package/$part/." "$root/$part/"
    done
done
# Those of other packages find their libraries in a folder of this host.
cp -a "$peers/systemd/bin/." "$root/bin/"
rm -rf "$root/etc/systemd/system" "$root/etc/convene" "$root/var/lib/convene" "$root/var/lib/etcd" "$root/var/log/journal"
mkdir "$root/etc/systemd/system"
cp -a "$folder/files/." "$root/"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$folder/home" "$root/root"
hostname "$name"
cd "$root"
mkdir old-root
pivot_root . old-root
umount -l /old-root
usermod -p '*' root
id sshd >/dev/null 2>&1 || useradd --system --home-dir /run/sshd --shell /usr/sbin/nologin sshd
exec env -i container=test PATH="$PATH" SYSTEMD_UNIT_PATH=/etc/systemd/system:/lib/test-units \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=console
"#;

impl Site {
    /// A site without machines, on which `etcd` will be this version. `None`, with the reason printed, if machines can't run here: they
    /// need root, control groups of version 2, `ip`, and the programs that `scripts/peers/install` installs.
    pub fn new(etcd: Version) -> Option<Self> {
        static SITES: AtomicU32 = AtomicU32::new(0);
        peers::program("systemd", "lib/systemd/systemd")?;
        peers::program("machines", "usr/sbin/sshd")?;
        if control_groups().is_none() {
            peers::skip("machines can't run here: there are no control groups of version 2");
            return None;
        }
        let number = SITES.fetch_add(1, Ordering::Relaxed);
        let switch = format!("cvs{}-{number}", process::id() % 1_000_000);
        if let Err(error) = ip(&["netns", "add", &switch]) {
            peers::skip(&format!("network namespaces can't be created here: {error}"));
            return None;
        }
        let site = Self { switch, folder: kept::folder(), etcd };
        ip(&["-n", &site.switch, "link", "add", "lan", "type", "bridge"]).unwrap();
        ip(&["-n", &site.switch, "link", "set", "lan", "up"]).unwrap();
        let key = site.folder.path().join("id_ed25519");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).status();
        assert!(made.is_ok_and(|made| made.success()), "ssh-keygen makes a key");
        Some(site)
    }

    /// The names that machines can have.
    pub fn names() -> impl Iterator<Item = &'static str> {
        HOSTS.iter().map(|(name, _)| *name)
    }

    /// Boots a machine with an empty disk.
    pub fn boot(&self, name: &str) -> Machine {
        self.boot_with(name, &[])
    }

    /// Boots a machine, on which packages of the peers are installed.
    fn boot_with(&self, name: &str, packages: &[&str]) -> Machine {
        let address = HOSTS.iter().find(|(known, _)| *known == name).expect("the machine has an address").1;
        let namespace = format!("{}-{name}", self.switch);
        // A machine that was lost may have had the same name.
        let folder = tempfile::Builder::new().prefix(name).tempdir_in(self.folder.path()).unwrap().keep();
        self.prepare(name, &folder);
        self.connect(&namespace, name, address);
        let control_group = control_groups().expect("the site has found them").join(&namespace);
        fs::create_dir(&control_group).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ >"$1/cgroup.procs"; shift; exec ip netns exec "$@""#, "sh"])
            .args([&control_group, Path::new(&namespace)])
            .args(["unshare", "-m", "-C", "-p", "-f", "-u", "-i", "--kill-child", "sh", "-c", BOOT, "sh"])
            .args([&peers::folder(), &folder])
            .arg(name)
            .args(packages);
        let process = Process::spawn(&format!("machine {name}"), &mut command);
        let machine = Machine { name: name.to_owned(), home: folder.join("home"), process, control_group, namespace };
        let booted = wait_for(Duration::from_secs(30), || {
            machine.try_to_type("systemctl is-active multi-user.target").ok().filter(|state| state == "active\n")
        });
        assert!(booted.is_some(), "{name} does not boot: {}", machine.process.output());
        machine
    }

    /// Puts into place what the machine finds in its file system, and what a reader has copied there.
    fn prepare(&self, name: &str, folder: &Path) {
        let files = folder.join("files");
        let put = |path: &str, text: &str| {
            let path = files.join(path);
            fs::create_dir_all(path.parent().expect("files are in folders")).unwrap();
            fs::write(path, text).unwrap();
        };
        let shipped = peers::folder().join("systemd/lib/systemd/system");
        for (name, text) in UNITS {
            put(&format!("usr/lib/test-units/{name}"), text);
        }
        for unit in ["systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"] {
            put(&format!("usr/lib/test-units/{unit}"), &fs::read_to_string(shipped.join(unit)).unwrap());
        }
        put("etc/systemd/journald.conf", "[Journal]\nReadKMsg=no\nStorage=volatile\n");
        let hosts = HOSTS.map(|(name, address)| format!("{address} {name} {name}.corp\n")).concat();
        put("etc/hosts", &format!("127.0.0.1 localhost\n{hosts}"));
        put("etc/hostname", &format!("{name}\n"));
        put("etc/ssh/sshd_config", "UsePAM no\nSubsystem sftp /usr/lib/openssh/sftp-server\nStrictModes no\n");
        put("etc/ssh/ssh_config", "StrictHostKeyChecking accept-new\nLogLevel ERROR\n");
        copy_etcd(&self.etcd, &files.join("usr/local/bin"));
        let home = folder.join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        let key = |name: &str| self.folder.path().join(name);
        fs::copy(key("id_ed25519"), home.join(".ssh/id_ed25519")).unwrap();
        fs::copy(key("id_ed25519.pub"), home.join(".ssh/authorized_keys")).unwrap();
        fs::copy(key("id_ed25519"), files.join("etc/ssh/ssh_host_ed25519_key")).unwrap();
        fs::create_dir_all(home.join("target/dist")).unwrap();
        fs::create_dir_all(home.join("deploy")).unwrap();
        for (program, name) in [(programs::server(), "convene-server"), (programs::client(), "convene")] {
            fs::copy(program, home.join("target/dist").join(name)).unwrap();
        }
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        for file in fs::read_dir(deploy).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), home.join("deploy").join(file.file_name())).unwrap();
        }
    }

    fn connect(&self, namespace: &str, name: &str, address: &str) {
        let port = format!("to-{name}");
        let within = |arguments: &[&str]| ip(&[&["-n", namespace], arguments].concat()).unwrap();
        ip(&["netns", "add", namespace]).unwrap();
        ip(&["-n", &self.switch, "link", "add", &port, "type", "veth", "peer", "name", "lan0", "netns", namespace])
            .unwrap();
        ip(&["-n", &self.switch, "link", "set", &port, "master", "lan", "up"]).unwrap();
        within(&["addr", "add", &format!("{address}/24"), "dev", "lan0"]);
        within(&["link", "set", "lan0", "up"]);
        within(&["link", "set", "lo", "up"]);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.switch]);
    }
}

impl Machine {
    /// Types lines into a root shell with bash, and returns what they print. Each of them must succeed.
    #[track_caller]
    pub fn types(&self, lines: &str) -> String {
        match self.try_to_type(lines) {
            Ok(printed) => printed,
            Err(printed) => panic!("on {}:\n{lines}\n{printed}\n{}", self.name, self.journal()),
        }
    }

    /// The same; what was printed is an `Err` if a line failed.
    pub fn try_to_type(&self, lines: &str) -> Result<String, String> {
        let done = self
            .enter()
            .args(["timeout", "200", "bash", "-eu", "-o", "pipefail", "-c", &format!("exec 2>&1\n{lines}")])
            .output()
            .expect("nsenter can be run");
        let printed = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        if done.status.success() { Ok(printed) } else { Err(printed) }
    }

    /// The command that runs another one, whose words follow, as root on this machine. No word has a character that a shell changes.
    pub fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--all", "--target", &self.first_process(), "--wdns=/root"])
            .args(["env", "-i", "HOME=/root", "LANG=C.UTF-8"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Writes a file.
    pub fn writes(&self, path: &str, text: &str) {
        self.types(&format!("cat >{path} <<'END OF FILE'\n{text}END OF FILE\n"));
    }

    /// Puts the programs of an etcd into a folder in root's home.
    pub fn receives_etcd(&self, version: &Version, folder: &str) {
        copy_etcd(version, &self.home.join(folder));
    }

    fn journal(&self) -> String {
        self.try_to_type("systemctl --no-pager --failed; journalctl --no-pager -n 60").unwrap_or_else(|printed| printed)
    }

    /// The process of systemd. Processes of the host see it, because its namespace is below theirs.
    fn first_process(&self) -> String {
        let unshare = self.process.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
        children.trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.kill();
        let removed = wait_for(Duration::from_secs(10), || remove_control_group(&self.control_group).ok());
        if removed.is_none() {
            eprintln!("{} is left", self.control_group.display());
        }
        // The kernel takes its time over the end of a namespace, and the port would keep its name for as long.
        let _ = ip(&["-n", &self.namespace, "link", "del", "lan0"]);
        let _ = ip(&["netns", "del", &self.namespace]);
    }
}

fn copy_etcd(version: &Version, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // Versions before 3.5 have no etcdutl.
    for program in ["etcd", "etcdctl", "etcdutl"] {
        let from = Path::new(version.folder()).join(program);
        if from.exists() {
            fs::copy(from, to.join(program)).unwrap();
        }
    }
}

/// The hierarchy of control groups of version 2: the only one, or the one beside those of version 1.
fn control_groups() -> Option<PathBuf> {
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    mounts.into_iter().find(|mount| mount.join("cgroup.procs").exists()).map(Path::to_owned)
}
