//! A world in a few lines, for histories that violate a property.

use std::fmt;

use super::{
    raft::Etcd,
    world::{Client, Machine, Process, World},
};

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.cluster;
        let seconds = (self.now.0 / 1000) % 100_000;
        write!(f, "{seconds}s, size {}, epoch {}", cluster.size, cluster.epoch)?;
        if let Some(ticket) = &cluster.ticket {
            write!(f, ", ticket of {} to {}", ticket.holder, ticket.purpose.as_str())?;
        }
        for member in cluster.members() {
            write!(f, ", {} {} {}", member.name(), member.key, member.role)?;
        }
        for (at, etcd) in self.etcds.iter().enumerate() {
            write!(f, "\n    etcd {at}: {etcd}")?;
        }
        for (at, machine) in self.machines.iter().enumerate() {
            write!(f, "\n    {at}: {machine}")?;
            let cut: Vec<usize> = (0..self.machines.len()).filter(|to| self.cuts[at][*to]).collect();
            if !cut.is_empty() {
                write!(f, ", does not reach {cut:?}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, index {}, term {}", self.id, self.index, self.term)?;
        match self.leader {
            Some(leader) => write!(f, ", leader {leader}")?,
            None => write!(f, ", no leader")?,
        }
        for entry in &self.members {
            let role = if entry.learner { "learner" } else { "voter" };
            write!(f, ", {} at {} {role}", entry.id, entry.at)?;
        }
        Ok(())
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{} run {}", self.name, self.run)?;
        match &self.disk {
            Some(disk) => write!(f, ", data of {} in etcd {} up to {}", disk.identity.member, disk.etcd, disk.index)?,
            None => write!(f, ", no data")?,
        }
        if let Some(disk) = &self.other_disk.data {
            write!(f, ", data of {} in etcd {} on a disk that is not mounted", disk.identity.member, disk.etcd)?;
        }
        let process = match self.process {
            Process::Off => "",
            Process::Loading => ", loads",
            Process::Running => ", runs",
        };
        f.write_str(process)?;
        let marks = [
            (!self.on, "off"),
            (self.frozen.is_some(), "suspended"),
            (self.client_frozen.is_some(), "client suspended"),
            (self.offline, "offline"),
            (self.is_copy, "copy"),
        ];
        for (_, mark) in marks.iter().filter(|(is_set, _)| *is_set) {
            write!(f, ", {mark}")?;
        }
        if let Some(flaw) = self.flaw {
            write!(f, ", {flaw:?}")?;
        }
        match &self.client {
            Client::Idle => write!(f, "; {} ({})", self.answer.task, self.answer.reason),
            Client::Observed(view) => write!(f, "; saw {} members", view.members.len()),
            Client::Instructed(order) => write!(f, "; will {} ({})", order.task.as_str(), order.reason.as_str()),
            Client::Sent(order, _) => write!(f, "; sent {}", order.task.as_str()),
        }
    }
}
