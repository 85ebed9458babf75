//! What the process itself uses: the metrics that every Prometheus client library has, with their usual names.

use std::{
    fs,
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use rustix::time::{ClockId, clock_gettime};

/// Registers them. What can't be read is left out.
pub fn register(registered: &mut Registry, started: SystemTime) {
    if let Some(bytes) = resident_bytes() {
        let help = "Resident memory of the agent, without etcd's";
        registered.register_with_unit("process_resident_memory", help, Unit::Bytes, gauge(bytes));
    }
    let cpu = Counter::<f64, AtomicU64>::default();
    cpu.inc_by(cpu_time().as_secs_f64());
    let help = "CPU time of the agent, without etcd's";
    registered.register_with_unit("process_cpu", help, Unit::Seconds, cpu);
    let start = Gauge::<f64, AtomicU64>::default();
    start.set(since_epoch(started));
    let help = "When the agent started, in seconds since the Unix epoch";
    registered.register_with_unit("process_start_time", help, Unit::Seconds, start);
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is that of this directory.
        let open = open.count().saturating_sub(1);
        registered.register("process_open_fds", "Open file descriptors of the agent", gauge(open as u64));
    }
}

/// A gauge with this value.
pub fn gauge(value: u64) -> Gauge<u64, AtomicU64> {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

/// A time as metrics show it.
pub fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}
