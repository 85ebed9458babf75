use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::MatchedPath,
    http::{Extensions, request::Parts},
    response::{IntoResponse, Response},
};
use convene_lifecycle::Actor;

use super::{
    AuthMode, Caller, Denial, Principal, Requirement, Standing, Target,
    credential::{Credential, credential, grpc_credential},
    requirement,
    standing::Lasting,
};
use crate::{
    api,
    app::App,
    audit,
    connection::{ClientAddress, ClientCertificate},
    secret::hash_of,
    v2,
    v3::{self, V3Error},
};

/// Adds the [`Caller`] to a request, for its handler, or returns the response that refuses it. The matched route shows what is needed, so
/// only requests with a route may come here.
pub async fn enforce(app: &Arc<App>, parts: &mut Parts) -> Option<Response> {
    let route: Option<MatchedPath> = parts.extensions.get().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let needs = requirement(&parts.method, route);
    let denial = admit(app, needs, parts).await.err()?;
    let route = route.unwrap_or_default();
    let from = parts.extensions.get().map(ClientAddress::ip);
    audit_refusal(&denial, from, &format!("{} {route}", parts.method));
    Some(respond(denial, route))
}

/// The same for gRPC methods. Which cluster a call is about stands in its message, so the handlers check that.
pub async fn enforce_grpc(app: &App, parts: &mut Parts) -> Option<Response> {
    let presented = grpc_credential(&parts.headers);
    let principal = match app.access.mode {
        AuthMode::Off => Ok(Principal::Unchecked),
        AuthMode::On => identify(app, presented.as_ref(), &parts.extensions).await,
    };
    let method = parts.uri.path().to_owned();
    match principal {
        Ok(principal) => {
            let admitted = Admitted { principal, needs: Requirement::DiscoveryToken, target: None, presented };
            admitted.insert(&mut parts.extensions, || method);
            None
        }
        Err(denial) => {
            audit_refusal(&denial, parts.extensions.get().map(ClientAddress::ip), &method);
            let status = tonic::Status::from(V3Error::from(denial));
            Some(status.into_http::<axum::body::Body>().into_response())
        }
    }
}

async fn admit(app: &Arc<App>, needs: Requirement, parts: &mut Parts) -> Result<(), Denial> {
    let presented = credential(&parts.headers);
    let mut principal = match (app.access.mode, needs, &presented) {
        (AuthMode::Off, ..) => Principal::Unchecked,
        // Which nodes there are depends on the cluster.
        (AuthMode::On, Requirement::Nothing, _) | (AuthMode::On, _, Some(Credential::Node(_))) => Principal::Anonymous,
        (AuthMode::On, ..) => identify(app, presented.as_ref(), &parts.extensions).await?,
    };
    let mut target = match needs.is_of_cluster() {
        true => Target::of(app, parts, &principal).await?,
        false => None,
    };
    if let (AuthMode::On, Some(Credential::Node(secret))) = (app.access.mode, &presented)
        && needs != Requirement::Nothing
    {
        principal = identify_node(app, needs, target.as_mut(), secret).await?;
    }
    needs.check(&principal, target.as_ref()).map_err(|denial| match denial {
        Denial::NoCredential { needs } if !app.access.tokens.has_administrator(app.registry.now()) => {
            Denial::NoAdministrator { needs }
        }
        denial => denial,
    })?;
    let (method, route) = (parts.method.clone(), parts.extensions.get::<MatchedPath>().cloned());
    let request = || format!("{method} {}", route.as_ref().map(MatchedPath::as_str).unwrap_or_default());
    Admitted { principal, needs, target, presented }.insert(&mut parts.extensions, request);
    Ok(())
}

/// Who presents a credential. One that is not valid is an error, even if the route needs none. Without one in the request, the
/// certificate of the connection counts.
async fn identify(app: &App, credential: Option<&Credential>, extensions: &Extensions) -> Result<Principal, Denial> {
    match credential {
        None => match extensions.get() {
            Some(shown) => Ok(certified(app, shown)?.unwrap_or(Principal::Anonymous)),
            None => Ok(Principal::Anonymous),
        },
        Some(Credential::ApiToken(secret)) => {
            app.access.tokens.find(secret, app.registry.now()).await.map(Principal::ApiToken)
        }
        Some(Credential::Node(_) | Credential::Other) => Err(Denial::UnknownCredential),
    }
}

/// Which node of the cluster in the path presents its credential. A check-in may bring one that is not known yet, and its handler finds
/// out why it is not.
async fn identify_node(
    app: &App,
    needs: Requirement,
    target: Option<&mut Target>,
    secret: &str,
) -> Result<Principal, Denial> {
    if let Some(target) = target
        && let Some(token) = &target.token
        && let Some(known) = app.registry.latest_known(token).await?
    {
        let cluster = &known.snapshot.cluster;
        let found = cluster.admission.credential(hash_of(secret));
        if let Some((name, _)) = found.filter(|(_, credential)| credential.revoked_at.is_none()) {
            target.id = Some(cluster.id);
            return Ok(Principal::Node { cluster: cluster.id, name: name.clone() });
        }
    }
    match needs {
        Requirement::CheckIn => Ok(Principal::Anonymous),
        _ => Err(Denial::UnknownCredential),
    }
}

/// Who shows a certificate. `None` if no rule gives it a role.
fn certified(app: &App, shown: &ClientCertificate) -> Result<Option<Principal>, Denial> {
    let common_name = shown.common_name.as_deref();
    let mut rules = app.access.certificate_rules.iter();
    let Some(rule) = rules.find(|rule| rule.matches(common_name, &shown.dns_names)) else { return Ok(None) };
    let name: Arc<str> = rule.name().into();
    if shown.not_after <= app.registry.now() {
        return Err(Denial::ExpiredCertificate { name });
    }
    Ok(Some(Principal::Certificate { name, role: rule.role }))
}

/// A request that may pass.
struct Admitted {
    principal: Principal,
    needs: Requirement,
    target: Option<Target>,
    presented: Option<Credential>,
}

impl Admitted {
    /// Hands what is known of the caller to the handler. `request` is for the audit log.
    fn insert(self, extensions: &mut Extensions, request: impl FnOnce() -> String) {
        let actor = Actor { by: self.principal.public_name(), from: extensions.get().map(ClientAddress::ip) };
        let standing = match self.credential(extensions) {
            Some(credential) => Standing::new(credential, self.needs, self.target.as_ref(), actor.clone(), request()),
            None => Standing::PERMANENT,
        };
        extensions.insert(standing);
        extensions.insert(Caller { principal: self.principal, actor });
        if let Some(target) = self.target {
            extensions.insert(target);
        }
    }

    /// The credential that has let the request pass, if it may end.
    fn credential(&self, extensions: &Extensions) -> Option<Lasting> {
        match (&self.principal, &self.presented) {
            (Principal::ApiToken(_), Some(Credential::ApiToken(secret))) => Some(Lasting::ApiToken(hash_of(secret))),
            (Principal::Node { name, .. }, Some(Credential::Node(secret))) => {
                let cluster = self.target.as_ref()?.token.clone()?;
                Some(Lasting::Node { cluster, name: name.clone(), hash: hash_of(secret) })
            }
            (Principal::Certificate { name, .. }, _) => {
                let not_after = extensions.get::<ClientCertificate>()?.not_after;
                Some(Lasting::Certificate { name: name.clone(), not_after })
            }
            _ => None,
        }
    }
}

fn audit_refusal(denial: &Denial, from: Option<IpAddr>, what: &str) {
    if !matches!(denial, Denial::Unavailable(_)) {
        audit::log_refusal(&Actor { by: denial.by(), from }, what, &denial.to_string());
    }
}

/// A denial in the form of the face that the route belongs to.
fn respond(denial: Denial, route: &str) -> Response {
    match route.split('/').nth(1).unwrap_or_default() {
        "v1" => api::denied(denial),
        "v3" => v3::denied(denial),
        "v2" | "{token}" => v2::denied(denial),
        _ => denial.into_text_response(),
    }
}
