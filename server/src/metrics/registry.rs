use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use convene_lifecycle::{Discovery, Event, EventKind, Protocol, UnixMillis};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::seconds;

/// What the registry counts.
#[derive(Debug)]
pub struct RegistryMetrics {
    registrations: Family<RegistrationLabels, Counter>,
    clusters: Family<PhaseLabels, Gauge>,
    paused: Gauge,
    quota_refusals: Counter,
    waits: Family<WaitLabels, Gauge>,
    notifications_up: Gauge,
    notification_duration: Histogram,
    event_delay: Histogram,
    clock_uncertainty: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistrationLabels {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

/// How far a cluster is. Each cluster is in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nodes are missing.
    Forming,
    /// It may not form, because another etcd cluster may exist.
    Held,
    /// All founders are known.
    Formed,
    /// The etcd cluster has been seen to exist.
    Bootstrapped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    kind: &'static str,
}

/// Who waits for events of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitKind {
    /// A long poll of the v2 protocol.
    V2,
    /// A watch of the v3 protocol.
    V3,
    /// A client of `/v1/clusters/TOKEN/events`.
    Events,
    /// A node that has nothing to do.
    CheckIn,
}

/// A wait that counts as open until it is dropped.
#[derive(Debug)]
pub struct OpenWait(Gauge);

impl Default for RegistryMetrics {
    fn default() -> Self {
        let metrics = Self {
            registrations: Family::default(),
            clusters: Family::default(),
            paused: Gauge::default(),
            quota_refusals: Counter::default(),
            waits: Family::default(),
            notifications_up: Gauge::default(),
            notification_duration: seconds(),
            event_delay: seconds(),
            clock_uncertainty: Gauge::default(),
        };
        // A counter that begins at 0 shows its first increase as one.
        for protocol in [Protocol::Discovery(Discovery::V2), Protocol::Discovery(Discovery::V3), Protocol::CheckIn] {
            metrics.registrations.get_or_create_owned(&RegistrationLabels { protocol: protocol.as_str() });
        }
        for kind in [WaitKind::V2, WaitKind::V3, WaitKind::Events, WaitKind::CheckIn] {
            metrics.waits.get_or_create_owned(&kind.label());
        }
        metrics
    }
}

impl RegistryMetrics {
    pub(super) fn register(&self, convene: &mut Registry) {
        let help = "Nodes that registered through this server to form a cluster, by protocol";
        convene.register("registrations", help, self.registrations.clone());
        let help = "Clusters in the database, by phase; each cluster is in one phase";
        convene.register("clusters", help, self.clusters.clone());
        convene.register("clusters_paused", "Clusters whose membership changes are paused", self.paused.clone());
        let help = "Changes that a quota of the registry refused: the number of clusters, or the bytes of a cluster or of the database";
        convene.register("quota_refusals", help, self.quota_refusals.clone());
        let help = "Open long polls, watches, event streams and held check-ins, by kind";
        convene.register("waits", help, self.waits.clone());
        let help = "Whether notifications of other servers arrive; without them this server polls";
        convene.register("notifications_up", help, self.notifications_up.clone());
        let help = "How long this server's notifications of itself take";
        let duration = self.notification_duration.clone();
        convene.register_with_unit("notification_duration", help, Unit::Seconds, duration);
        let help = "How long after a change through another server its event was delivered to the waits here";
        convene.register_with_unit("event_delay", help, Unit::Seconds, self.event_delay.clone());
        let help = "How far this server's clock may be behind the database's";
        convene.register_with_unit("clock_uncertainty", help, Unit::Seconds, self.clock_uncertainty.clone());
    }

    /// Shows how far this server's clock may be behind the database's.
    pub fn set_clock_uncertainty(&self, uncertainty: Duration) {
        self.clock_uncertainty.set(uncertainty.as_secs_f64());
    }

    /// Shows whether notifications of other servers arrive.
    pub fn set_notified(&self, is_notified: bool) {
        self.notifications_up.set(is_notified.into());
    }

    /// Records how long a notification of this server itself has taken.
    pub fn record_notification(&self, took: Duration) {
        self.notification_duration.observe(took.as_secs_f64());
    }

    /// Records events of another server that are delivered now.
    pub fn record_delivered(&self, events: &[Arc<Event>], now: UnixMillis) {
        for event in events {
            self.event_delay.observe(event.at.age(now).as_secs_f64());
        }
    }

    /// Counts the registrations among the events of a change.
    pub fn record_events<'a>(&self, protocol: Option<Protocol>, events: impl Iterator<Item = &'a Event>) {
        let Some(protocol) = protocol else { return };
        let registers = |event: &&Event| event.kind == EventKind::MemberRegistered && event.previous.is_none();
        let labels = RegistrationLabels { protocol: protocol.as_str() };
        self.registrations.get_or_create(&labels).inc_by(events.filter(registers).count() as u64);
    }

    /// Counts a change that a quota has refused.
    pub fn record_quota_refusal(&self) {
        self.quota_refusals.inc();
    }

    /// Counts a wait from now on, until the result is dropped.
    pub fn wait(&self, kind: WaitKind) -> OpenWait {
        let gauge = self.waits.get_or_create_owned(&kind.label());
        gauge.inc();
        OpenWait(gauge)
    }

    /// Shows how many clusters are in a phase.
    pub fn set_clusters(&self, phase: Phase, count: i64) {
        self.clusters.get_or_create(&phase.label()).set(count);
    }

    /// Shows how many clusters are paused.
    pub fn set_paused(&self, count: i64) {
        self.paused.set(count);
    }
}

impl Phase {
    fn label(self) -> PhaseLabels {
        let phase = match self {
            Self::Forming => "forming",
            Self::Held => "held",
            Self::Formed => "formed",
            Self::Bootstrapped => "bootstrapped",
        };
        PhaseLabels { phase }
    }
}

impl WaitKind {
    fn label(self) -> WaitLabels {
        let kind = match self {
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::Events => "events",
            Self::CheckIn => "check_in",
        };
        WaitLabels { kind }
    }
}

impl Drop for OpenWait {
    fn drop(&mut self) {
        self.0.dec();
    }
}
