use std::str::FromStr;

use thiserror::Error;

use super::Role;

/// Which client certificates have a role: `ROLE=CN:NAME` or `ROLE=DNS:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRule {
    /// The role, for all clusters.
    pub role: Role,
    name: CertificateName,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
enum CertificateName {
    /// The common name of its subject.
    Common(String),
    /// A DNS name of its subject.
    Dns(String),
}

/// A text is no [`CertificateRule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be ROLE=CN:NAME or ROLE=DNS:NAME with the role reader, operator or admin, such as operator=CN:ops")]
pub struct CertificateRuleError;

impl CertificateRule {
    /// The name that the rule is for.
    pub fn name(&self) -> &str {
        match &self.name {
            CertificateName::Common(name) | CertificateName::Dns(name) => name,
        }
    }

    /// Whether a verified certificate with these names has the role. The names must be equal; there are no wildcards.
    pub fn matches(&self, common_name: Option<&str>, dns_names: &[String]) -> bool {
        match &self.name {
            CertificateName::Common(name) => common_name == Some(name),
            CertificateName::Dns(name) => dns_names.iter().any(|dns_name| dns_name.eq_ignore_ascii_case(name)),
        }
    }
}

impl FromStr for CertificateRule {
    type Err = CertificateRuleError;

    fn from_str(text: &str) -> Result<Self, CertificateRuleError> {
        let (role, name) = text.split_once('=').ok_or(CertificateRuleError)?;
        let role = role.parse().map_err(|_| CertificateRuleError)?;
        let name = match name.split_once(':') {
            Some(("CN", name)) if !name.is_empty() => CertificateName::Common(name.to_owned()),
            Some(("DNS", name)) if !name.is_empty() => CertificateName::Dns(name.to_owned()),
            _ => return Err(CertificateRuleError),
        };
        Ok(Self { role, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_gives_a_role_to_one_name() {
        let rule: CertificateRule = "operator=CN:ops".parse().unwrap();
        assert!(rule.role == Role::Operator && rule.matches(Some("ops"), &[]));
        assert!(!rule.matches(Some("ops2"), &["ops".to_owned()]) && !rule.matches(None, &[]));
        let rule: CertificateRule = "admin=DNS:ops.example.com".parse().unwrap();
        assert!(rule.matches(None, &["x".to_owned(), "OPS.example.com".to_owned()]));
        assert!(!rule.matches(Some("ops.example.com"), &[]));
        for text in ["", "admin", "admin=", "admin=ops", "admin=CN:", "root=CN:ops", "admin=IP:10.0.0.1"] {
            assert_eq!(text.parse::<CertificateRule>(), Err(CertificateRuleError), "{text}");
        }
    }
}
