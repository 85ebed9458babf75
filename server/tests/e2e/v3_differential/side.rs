use convene_etcd::wire::{
    AlarmRequest, AuthenticateRequest, AuthenticateResponse, MemberListRequest, RangeRequest, StatusRequest,
    alarm_request::AlarmAction, auth_client::AuthClient, cluster_client::ClusterClient, kv_client::KvClient,
    maintenance_client::MaintenanceClient,
};
use tonic::{Response, Status, transport::Channel};

use super::{
    LIMIT,
    answer::{self, Origin, Server},
    call::{Call, Rebase},
    conversation::{Conversation, Move},
    scenario::Scenario,
};
use crate::comparison::{Answer, Facts};

/// One of the two servers.
pub struct Side {
    channel: Channel,
    origin: Origin,
    /// A key of the scenario's.
    size_key: Vec<u8>,
}

impl Side {
    pub async fn connect(url: &str) -> Self {
        let channel = Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
        // A read of an absent key is enough: the header identifies the server.
        let nobody = RangeRequest { key: "/_etcd/registry/nobody/_config/size".into(), ..RangeRequest::default() };
        let answer = KvClient::new(channel.clone()).range(nobody).await.unwrap().into_inner();
        let server = Server::of(&answer.header.expect("an answer has a header"));
        Self { channel, origin: Origin { base: 0, server }, size_key: Vec::new() }
    }

    /// Counts revisions from here on. Those of ours begin with each cluster; an etcd's go on.
    pub async fn begin(&mut self, scenario: &Scenario) {
        self.size_key = scenario.size_key();
        let size = RangeRequest { key: self.size_key.clone(), ..RangeRequest::default() };
        let answer = KvClient::new(self.channel.clone()).range(size).await.unwrap().into_inner();
        assert_eq!(answer.count, 0, "{} runs under a token of its own", scenario.title);
        self.origin.base = answer.header.expect("an answer has a header").revision;
    }

    /// Makes a call.
    pub async fn call(&self, call: &Call) -> Answer {
        let answered = tokio::time::timeout(LIMIT, self.answer(call)).await;
        answered.unwrap_or_else(|_| panic!("{call:?} is not answered"))
    }

    async fn answer(&self, call: &Call) -> Answer {
        let mut kv = KvClient::new(self.channel.clone());
        let mut maintenance = MaintenanceClient::new(self.channel.clone());
        let (origin, base) = (&self.origin, self.origin.base);
        match call.clone() {
            Call::Range(mut request) => {
                request.rebase(base);
                read(kv.range(request).await, |answer| origin.range(answer))
            }
            Call::Put(request) => read(kv.put(request).await, |answer| origin.put(answer)),
            Call::DeleteRange(request) => read(kv.delete_range(request).await, |answer| origin.delete_range(answer)),
            Call::Txn(mut request) => {
                request.rebase(base);
                read(kv.txn(request).await, |answer| origin.txn(answer))
            }
            Call::Authenticate(name) => {
                let request = AuthenticateRequest { name: name.to_owned(), password: "secret".to_owned() };
                let token = |answer: &AuthenticateResponse| {
                    let facts = origin.header("header", answer.header.as_ref());
                    facts
                        .into_iter()
                        .chain([("has a token".to_owned(), (!answer.token.is_empty()).to_string())])
                        .collect()
                };
                read(AuthClient::new(self.channel.clone()).authenticate(request).await, token)
            }
            Call::Alarms => {
                let request = AlarmRequest { action: AlarmAction::Get.into() };
                read(maintenance.alarm(request).await, |answer| origin.alarms(answer))
            }
            Call::MemberList => {
                let request = MemberListRequest { linearizable: true };
                let answer = ClusterClient::new(self.channel.clone()).member_list(request).await;
                read(answer, |answer| origin.member_list(answer))
            }
            Call::Status => read(maintenance.status(StatusRequest {}).await, |answer| origin.status(answer)),
        }
    }

    /// Holds a conversation on a stream of watches of its own.
    pub async fn converse(&self, moves: &[Move]) -> Answer {
        let mut conversation = Conversation::open(self.channel.clone(), self.origin.clone());
        let mut done = Facts::new();
        for (n, next) in moves.iter().enumerate() {
            match next {
                Move::Create(request) => conversation.create(request.clone()),
                Move::Cancel(watch) => conversation.cancel(*watch),
                Move::AskForProgress => conversation.ask_for_progress(),
                Move::SayNothing => conversation.say_nothing(),
                Move::Receive(further) => conversation.receive(*further).await,
                Move::Do(call) => {
                    let answer = self.call(call).await;
                    done.extend(answer.facts.into_iter().map(|(name, value)| (format!("move {n} {name}"), value)));
                }
            }
        }
        let mut answer = conversation.finish(&self.size_key).await;
        answer.facts.extend(done);
        answer
    }
}

fn read<T>(answer: Result<Response<T>, Status>, facts: impl FnOnce(&T) -> Facts) -> Answer {
    match answer {
        Ok(answer) => Answer { summary: "Ok".to_owned(), facts: facts(answer.get_ref()) },
        Err(status) => answer::failure(&status),
    }
}
