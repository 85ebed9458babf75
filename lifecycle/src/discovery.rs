use crate::{
    Action, Cluster, ClusterSize, Discovery, Epoch, EventKind, MAX_MEMBERS, Member, MemberKey, Protocol,
    RegisterRefusal, Registration, Removal, SizeIsFixed, StockWriteRefused, Subject, Transition, UnixMillis,
    cluster::{KeyChange, KeyState, previous_member},
};

/// The changes that discovery clients make: stock etcds, and tools that use their protocols.
impl Cluster {
    /// Sets the size. Setting the present size always succeeds, so that scripts can run again.
    ///
    /// # Errors
    ///
    /// If the size changes although a member has registered.
    pub fn set_size(&self, size: ClusterSize, action: Action, at: UnixMillis) -> Result<Transition, SizeIsFixed> {
        if size != self.size && self.first_registered_at.is_some() {
            return Err(SizeIsFixed(self.size));
        }
        let revision = self.revision.next();
        let (created, version) = match keeps_creation(action) {
            true => (self.size_created, self.size_version + 1),
            false => (revision, 1),
        };
        let change = KeyChange {
            action,
            subject: Subject::Size,
            after: KeyState { value: Some(size.to_string()), created, version },
            previous: Some(self.previous_size()),
        };
        let event = self.event(at, change, EventKind::SizeSet, format!("size set to {size}"));
        let after = Self {
            size,
            size_created: created,
            size_modified: revision,
            size_lowered: self.lowered_by(size, revision),
            size_version: version,
            revision,
            ..self.clone()
        };
        Ok(Transition { after: Some(after), events: vec![event] })
    }

    /// Registers a member, or changes its registration.
    ///
    /// As in etcd, a plain set moves a present member to the end of the line, but only while the cluster is forming. Once
    /// etcds may have bootstrapped, it could give a newcomer a place in a roster that others have read.
    ///
    /// # Errors
    ///
    /// If the registration could lead to two clusters, or to a member that etcd rejects.
    pub fn register(
        &self,
        key: MemberKey,
        registration: Registration,
        by: Discovery,
        action: Action,
        at: UnixMillis,
    ) -> Result<Transition, RegisterRefusal> {
        let present = self.member(&key);
        self.check_registration(&key, &registration, by, action)?;
        if let Some(member) = present.filter(|_| by == Discovery::V3) {
            self.check_reregistration(member, &registration, at)?;
        }
        // A v3 etcd writes the same value again when it is in doubt, for a while after the cluster has formed, too.
        let repeats = by == Discovery::V3 && present.is_some_and(|member| member.registration == registration);
        let is_late = || action == Action::Create && self.may_be_late(&key, &registration, by, at);
        match present {
            None if !is_late() => self.check_stock_write().map_err(StockWriteRefused::of_newcomer)?,
            Some(_) if !repeats => self.check_stock_write()?,
            _ => {}
        }

        let revision = self.revision.next();
        let fresh = Member::registered(key.clone(), registration, revision);
        let member = match present {
            Some(member) => {
                let keeps_place = keeps_creation(action) || self.formed.is_some();
                let (created, version) = if keeps_place { (member.created, member.version + 1) } else { (revision, 1) };
                let Member { registration, modified, registered, .. } = fresh;
                Member { registration, created, modified, registered, version, ..Member::clone(member) }
            }
            None => fresh,
        };
        let message = format!("{} registered by {by}", member.name());
        let change = KeyChange {
            action,
            subject: Subject::Member(key),
            after: KeyState::of_member(&member),
            previous: present.map(|member| previous_member(member)),
        };
        let event = self.event(at, change, EventKind::MemberRegistered, message);
        let record = self.record_with(member);
        let is_complete = record.len() >= self.size.get() as usize && self.protocol != Some(Protocol::CheckIn);
        let forms = is_complete && self.formed.is_none();
        let after = Self {
            revision,
            first_registered_at: self.first_registered_at.or(Some(at)),
            formed: self.formed.or(forms.then_some(revision)),
            formed_at: self.formed_at.or(forms.then_some(at)),
            protocol: self.protocol.or(Some(Protocol::Discovery(by))),
            admission: if forms { self.admission_of_stock_cluster(revision) } else { self.admission.clone() },
            record,
            ..self.without_record()
        };
        Ok(Transition { after: Some(after), events: vec![event] })
    }

    /// Removes a present member. `None` if no present member has this key.
    pub fn remove(&self, key: &MemberKey, by: Discovery, action: Action, at: UnixMillis) -> Option<Transition> {
        let member = self.member(key)?;
        let revision = self.revision.next();
        let change = KeyChange {
            action,
            subject: Subject::Member(key.clone()),
            after: KeyState::deleted(member.created),
            previous: Some(previous_member(member)),
        };
        let message = format!("{} removed by {by}", member.name());
        let event = self.event(at, change, EventKind::MemberRemoved, message);
        let removal = Removal { at: revision, confirmed: false, given_up: false };
        let removed = Member { modified: revision, removed: Some(removal), ..Member::clone(member) };
        let after = Self { revision, record: self.record_with(removed), ..self.without_record() };
        Some(Transition { after: Some(after), events: vec![event] })
    }

    fn check_registration(
        &self,
        key: &MemberKey,
        registration: &Registration,
        by: Discovery,
        action: Action,
    ) -> Result<(), RegisterRefusal> {
        if by == Discovery::V3 && self.formed.is_none() {
            self.check_not_counted(key, registration)?;
        }
        let mut present = false;
        let mut members = 0;
        for member in self.members() {
            members += 1;
            if member.key == *key {
                present = true;
                continue;
            }
            let holder = || member.key.clone();
            if member.registration.name == registration.name {
                return Err(RegisterRefusal::NameTaken { name: registration.name.clone(), holder: holder() });
            }
            member.check_peer_urls(registration)?;
        }
        if self.epoch != Epoch::FIRST && (action == Action::Create || self.formed.is_none()) {
            return Err(RegisterRefusal::WasReset);
        }
        if let Some(held) = self.held.as_ref().filter(|_| self.formed.is_none()) {
            return Err(RegisterRefusal::Held(held.what_was_seen()));
        }
        let creates = action == Action::Create && !present;
        if self.is_forming_by_check_in() || (creates && self.protocol == Some(Protocol::CheckIn)) {
            return Err(RegisterRefusal::FormsByCheckIn);
        }
        let other = self.protocol.and_then(Protocol::discovery).filter(|other| *other != by);
        if let Some(other) = other.filter(|_| creates || self.formed.is_none()) {
            return Err(RegisterRefusal::FormsByOther(other));
        }
        // Only etcd's own discovery client creates. Other clients, such as elastic-etcd, set, and report changes that they
        // have made to the running cluster.
        if !present && action == Action::Create && self.formed.is_some() && members < self.size.get() as usize {
            return Err(RegisterRefusal::Formed);
        }
        if self.record.len() >= MAX_MEMBERS && !self.record.iter().any(|member| member.key == *key) {
            return Err(RegisterRefusal::TooManyMembers);
        }
        Ok(())
    }
}

/// Whether etcd keeps a node's creation index over this action (`v2store/store.go:Update`).
fn keeps_creation(action: Action) -> bool {
    matches!(action, Action::Update | Action::CompareAndSwap)
}

#[cfg(test)]
mod tests;
